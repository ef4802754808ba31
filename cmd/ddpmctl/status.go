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
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ddpm-cluster/ddpm-cluster/coordinator/config"
	"github.com/ddpm-cluster/ddpm-cluster/coordinator/report"
	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
)

const (
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
	patience    time.Duration // of --watch, with no coordinator

	stdout, stderr io.Writer
}

func statusCommand(stdout, stderr io.Writer) *cobra.Command {
	f := &statusFlags{stdout: stdout, stderr: stderr, patience: awayLimit}
	c := &cobra.Command{
		Use:   "status",
		Short: "Say how a run goes: step, rate, workers, generations, checkpoints, jobs",
		Long: "Asks the coordinator, as the administrator that the file of --config names, or, on its\n" +
			"own machine, at the loopback address of its --http. --json prints all that the dashboard\n" +
			"shows, the curves included: docs/http-api.md has the fields. --watch goes on through\n" +
			"restarts of the coordinator, for up to 10 minutes without one, until the run has ended.\n" +
			"Without --watch it also says which jobs of the sampling pool are queued or running; of a\n" +
			"coordinator that serves the pool alone that is all.",
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

func (f *statusFlags) run(ctx context.Context) error {
	if f.watch {
		return f.watchRun(ctx)
	}
	document, err := f.once(ctx)
	if err != nil {
		return err
	}
	if document == nil {
		return f.pool(ctx)
	}
	s, err := decoded(document)
	if err != nil {
		return err
	}
	jobs, err := f.openJobs(ctx)
	if f.json {
		if document, err = withJobs(document, jobs); err != nil {
			return err
		}
		return f.printJSON(document)
	}
	p := page{now: s.At, full: true}
	p.status(s)
	p.jobs(jobs, err)
	_, err = p.text.WriteTo(f.stdout)
	return err
}

// once gets the document as it is now, and none of a coordinator that has no run.
func (f *statusFlags) once(ctx context.Context) (document []byte, err error) {
	if f.http != "" {
		ctx, cancel := context.WithTimeout(ctx, answerLimit)
		defer cancel()
		document, err := f.read(ctx, "/api/status")
		if errors.Is(err, errNotServed) {
			return nil, nil
		}
		return document, err
	}
	err = f.admin.ask(ctx, func(ctx context.Context, _ string, conn *grpc.ClientConn) error {
		r, err := ddpmv1.NewStatusClient(conn).GetStatus(ctx, &ddpmv1.GetStatusRequest{Points: uint32(f.points)}, grpc.MaxCallRecvMsgSize(maxStatus))
		if status.Code(err) == codes.FailedPrecondition { // it trains nothing
			return nil
		}
		document = r.GetDocument()
		return err
	})
	return document, err
}

// errNotServed is that an address serves no such path.
var errNotServed = errors.New("it serves none; one that serves the sampling pool alone has jobs and no run: ask without --watch")

// read gets all of a path by HTTP.
func (f *statusFlags) read(ctx context.Context, path string) ([]byte, error) {
	body, err := f.get(ctx, path, url.Values{})
	if err != nil {
		return nil, err
	}
	defer body.Close()
	return io.ReadAll(io.LimitReader(body, maxStatus))
}

// get asks by HTTP for a path, with the points that are wanted.
func (f *statusFlags) get(ctx context.Context, path string, q url.Values) (io.ReadCloser, error) {
	if f.points > 0 {
		q.Set("points", strconv.Itoa(f.points))
	}
	u := url.URL{Scheme: "http", Host: f.http, Path: path, RawQuery: q.Encode()}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, usageError{fmt.Errorf("--http: %w", err)}
	}
	direct := &http.Transport{DialContext: (&net.Dialer{}).DialContext, DisableKeepAlives: true} // no proxy reaches loopback
	r, err := (&http.Client{Transport: direct}).Do(request)
	if err != nil {
		return nil, away{fmt.Errorf("%w; is there a coordinator with --http %s?", err, f.http)}
	}
	if r.StatusCode != http.StatusOK {
		defer r.Body.Close()
		text, _ := io.ReadAll(io.LimitReader(r.Body, 200)) // as far as it can be read
		if r.StatusCode == http.StatusNotFound {
			return nil, fmt.Errorf("the coordinator at %s has no %s: %w", f.http, path, errNotServed)
		}
		return nil, fmt.Errorf("the coordinator at %s says %s: %s", f.http, r.Status, strings.TrimSpace(string(text)))
	}
	return r.Body, nil
}

func decoded(document []byte) (s report.Status, err error) {
	if err := json.Unmarshal(document, &s); err != nil {
		return s, fmt.Errorf("the coordinator's answer is no status: %w", err)
	}
	return s, nil
}

// clearScreen takes a terminal's cursor home and clears what is there.
const clearScreen = "\x1b[H\x1b[2J\x1b[3J"

// print shows one of the documents of --watch.
func (f *statusFlags) print(document []byte, s report.Status, first bool) error {
	if f.json {
		return f.printJSON(document)
	}
	p := page{now: s.At}
	switch out, ok := f.stdout.(*os.File); {
	case ok && term.IsTerminal(int(out.Fd())):
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
