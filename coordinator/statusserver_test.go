package coordinator

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/ddpm-cluster/ddpm-cluster/coordinator/report"
	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
)

// watcher gives the next document of a stream, io.EOF at its end.
type watcher func() ([]byte, error)

// watchers look on by gRPC and by HTTP, and have heard a first word.
func (c *cluster) watchers() map[string]watcher {
	c.t.Helper()
	conn, err := grpc.NewClient(c.address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = conn.Close() })
	stream, err := ddpmv1.NewStatusClient(conn).WatchStatus(c.t.Context(), &ddpmv1.WatchStatusRequest{Points: 5})
	if err != nil {
		c.t.Fatal(err)
	}
	r, err := http.Get(statusLine.FindStringSubmatch(c.log.String())[1] + "api/status?watch=1&points=5")
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() {
		_ = r.Body.Close()
		http.DefaultClient.CloseIdleConnections()
	})
	lines := bufio.NewReader(r.Body)
	all := map[string]watcher{
		"gRPC": func() ([]byte, error) {
			r, err := stream.Recv()
			return r.GetDocument(), err
		},
		"HTTP": func() ([]byte, error) { return lines.ReadBytes('\n') },
	}
	for by, next := range all {
		var s report.Status
		if text, err := next(); err != nil || json.Unmarshal(text, &s) != nil || s.Phase == "ended" || s.Curve == nil {
			c.t.Fatalf("by %s the first word is %.300s, %v", by, text, err)
		}
	}
	return all
}

// lastWord reads a stream to its end.
func lastWord(t *testing.T, next watcher) (s report.Status) {
	t.Helper()
	for {
		text, err := next()
		if errors.Is(err, io.EOF) {
			return s
		}
		if err == nil {
			err = json.Unmarshal(text, &s)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// Who looks on hears how the run ended, whatever came of it, before the stream ends.
func TestWatchersHearTheEnd(t *testing.T) {
	t.Parallel()
	c := launch(t, t.TempDir(), nil, "--workers", "1", "--steps", "2", "--http", "127.0.0.1:0")
	p := c.team(1)[0]
	all := c.watchers()
	p.trained(1, 1)
	p.trained(2, 1)
	p.finish(2, digest("a"))
	p.dismissed()
	for by, next := range all {
		if s := lastWord(t, next); s.Phase != "ended" || s.Step != 2 || s.Checkpoint == nil || s.Checkpoint.Step != 2 {
			t.Errorf("by %s the last word is %+v", by, s)
		}
	}
	if err := c.end(); err != nil {
		t.Error(err)
	}
}

// A coordinator that hands over ends, and the run does not: nobody hears that it has.
func TestWatchersOfOneThatHandsOver(t *testing.T) {
	t.Parallel()
	c := launch(t, t.TempDir(), nil, "--workers", "1", "--steps", "1000", "--hand-over", "--http", "127.0.0.1:0")
	c.team(1)
	all := c.watchers()
	c.interrupts <- syscall.SIGTERM
	for by, next := range all {
		if s := lastWord(t, next); s.Phase == "ended" {
			t.Errorf("by %s the last word is %+v", by, s)
		}
	}
	c.failed("the workers train on")
}

func TestWatchRefusals(t *testing.T) {
	t.Parallel()
	c := launch(t, t.TempDir(), nil, "--workers", "1", "--steps", "1", "--http", "127.0.0.1:0")
	conn, err := grpc.NewClient(c.address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	stream, err := ddpmv1.NewStatusClient(conn).WatchStatus(t.Context(), &ddpmv1.WatchStatusRequest{Points: report.MaxPoints + 1})
	if err == nil {
		_, err = stream.Recv()
	}
	if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "at most") {
		t.Errorf("too many points: %v", err)
	}
}
