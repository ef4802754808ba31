package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"
	"google.golang.org/grpc"

	"github.com/ddpm-cluster/ddpm-cluster/coordinator/config"
	"github.com/ddpm-cluster/ddpm-cluster/coordinator/report"
	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
)

const (
	// watchEvery is how often --watch asks.
	watchEvery = time.Second
	// maxStatus bounds an answer.
	maxStatus = 64 << 20
	// statusPoints is how many bins --json asks for, as the dashboard does.
	statusPoints = 1000
)

// statusFlags are those of the command.
type statusFlags struct {
	admin       administrator
	http        string
	watch, json bool
	points      int
	stdout      io.Writer
}

func statusCommand(stdout io.Writer) *cobra.Command {
	f := &statusFlags{stdout: stdout}
	c := &cobra.Command{
		Use:   "status",
		Short: "Say how a run goes: step, rate, workers, generations, checkpoints",
		Long: "Asks the coordinator, as the administrator that the file of --config names, or, on its\n" +
			"own machine, at the loopback address of its --http. --json prints all that the dashboard\n" +
			"shows, the curves included: docs/http-api.md has the fields.",
		Example: "  ddpmctl status --config ddpm-data/admin.conf\n" +
			"  ddpmctl status --http 127.0.0.1:8080 --watch\n" +
			"  ddpmctl status --json --points 100",
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			if f.admin.asked() && f.http != "" {
				return usageError{errors.New("--config and --http are two ways to one coordinator: give one of them")}
			}
			if f.http != "" && !config.Loopback(f.http) {
				return usageError{fmt.Errorf("--http %s: must be a loopback HOST:PORT; from other machines use --config", f.http)}
			}
			if f.points < 0 || f.points > report.MaxPoints {
				return usageError{fmt.Errorf("--points %d: must be in 0 … %d", f.points, report.MaxPoints)}
			}
			if !f.json {
				f.points = 0
			}
			return f.run(c.Context())
		},
	}
	f.admin.flags(c.Flags())
	c.Flags().StringVar(&f.http, "http", "", "ask at this loopback `HOST:PORT` instead, without TLS")
	c.Flags().BoolVarP(&f.watch, "watch", "w", false, "go on until the run ends; with --json a line each second")
	c.Flags().BoolVar(&f.json, "json", false, "print JSON")
	c.Flags().IntVar(&f.points, "points", statusPoints, "with --json: in how many bins the curves are at most; 0 leaves them out")
	return c
}

// asking gets the status once, as its JSON.
type asking func(context.Context) ([]byte, error)

func (f *statusFlags) run(ctx context.Context) error {
	if f.http != "" {
		return f.show(ctx, f.byHTTP)
	}
	server, conn, err := f.admin.connect()
	if err != nil {
		return err
	}
	defer conn.Close()
	client := ddpmv1.NewStatusClient(conn)
	return f.show(ctx, func(ctx context.Context) ([]byte, error) {
		ctx, cancel := context.WithTimeout(ctx, answerLimit)
		defer cancel()
		r, err := client.GetStatus(ctx, &ddpmv1.GetStatusRequest{Points: uint32(f.points)}, grpc.MaxCallRecvMsgSize(maxStatus))
		return r.GetDocument(), said(server, err)
	})
}

func (f *statusFlags) byHTTP(ctx context.Context) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	u := url.URL{Scheme: "http", Host: f.http, Path: "/api/status"}
	if f.points > 0 {
		u.RawQuery = url.Values{"points": {strconv.Itoa(f.points)}}.Encode()
	}
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, usageError{fmt.Errorf("--http: %w", err)}
	}
	direct := &http.Transport{DialContext: (&net.Dialer{}).DialContext, DisableKeepAlives: true} // no proxy reaches loopback
	r, err := (&http.Client{Transport: direct}).Do(q)
	if err != nil {
		return nil, fmt.Errorf("%w; is there a coordinator with --http %s?", err, f.http)
	}
	defer r.Body.Close()
	text, err := io.ReadAll(io.LimitReader(r.Body, maxStatus))
	if err == nil && r.StatusCode != http.StatusOK {
		err = fmt.Errorf("the coordinator at %s says %s: %.200s", f.http, r.Status, text)
	}
	return text, err
}

// show prints the status once or, with --watch, until the run ends.
func (f *statusFlags) show(ctx context.Context, ask asking) error {
	for first := true; ; first = false {
		document, err := ask(ctx)
		if err != nil {
			return err
		}
		var s report.Status
		if err := json.Unmarshal(document, &s); err != nil {
			return fmt.Errorf("the coordinator's answer is no status: %w", err)
		}
		if err := f.print(document, s, first); err != nil {
			return err
		}
		if !f.watch || s.Phase == "ended" {
			return nil
		}
		select {
		case <-time.After(watchEvery):
		case <-ctx.Done():
			return nil // who watches has seen enough
		}
	}
}

// clearScreen takes a terminal's cursor home and clears what is there.
const clearScreen = "\x1b[H\x1b[2J\x1b[3J"

func (f *statusFlags) print(document []byte, s report.Status, first bool) error {
	if f.json {
		return f.printJSON(document)
	}
	p := page{now: s.At, full: !f.watch}
	switch out, ok := f.stdout.(*os.File); {
	case f.watch && ok && term.IsTerminal(int(out.Fd())):
		p.text.WriteString(clearScreen)
	case !first:
		p.text.WriteString("\n")
	}
	p.status(s)
	_, err := p.text.WriteTo(f.stdout)
	return err
}

func (f *statusFlags) printJSON(document []byte) error {
	e := json.NewEncoder(f.stdout)
	if !f.watch {
		e.SetIndent("", "  ")
	}
	return e.Encode(json.RawMessage(document))
}
