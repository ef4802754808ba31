package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ddpm-cluster/ddpm-cluster/coordinator/report"
	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
)

// life is what a coordinator says of a run to whoever watches, until it ends.
type life []report.Status

// lives are a run's, one after the other.
func lives() []life {
	before, after, ended := aStatus(), aStatus(), aStatus()
	after.Step++
	ended.Step, ended.Phase, ended.Reason = 20000, "ended", "the run is complete"
	return []life{{before, after}, {after, ended}}
}

// documents are a life's.
func (l life) documents(t *testing.T) (all [][]byte) {
	for _, s := range l {
		text, err := json.Marshal(s)
		if err != nil {
			t.Error(err)
		}
		all = append(all, text)
	}
	return all
}

// livesByHTTP serves them, and then none.
func livesByHTTP(t *testing.T, all ...life) string {
	t.Helper()
	var calls atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := int(calls.Add(1)) - 1
		if n >= len(all) || r.URL.Query().Get("watch") != "1" {
			panic(http.ErrAbortHandler)
		}
		for _, text := range all[n].documents(t) {
			_, _ = w.Write(append(text, '\n'))
		}
		_, _ = w.Write([]byte(`{"run":"digits","pha`)) // what was under way
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}))
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// livesByGRPC is the same service by gRPC.
type livesByGRPC struct {
	ddpmv1.UnimplementedStatusServer
	t     *testing.T
	all   []life
	calls atomic.Int64
}

func (s *livesByGRPC) WatchStatus(_ *ddpmv1.WatchStatusRequest, stream grpc.ServerStreamingServer[ddpmv1.WatchStatusResponse]) error {
	n := int(s.calls.Add(1)) - 1
	if n >= len(s.all) {
		return status.Error(codes.Unavailable, "it is away")
	}
	for _, text := range s.all[n].documents(s.t) {
		if err := stream.Send(&ddpmv1.WatchStatusResponse{Document: text}); err != nil {
			return err
		}
	}
	return nil
}

// watching is a command that asks such a coordinator, and what it prints.
func watching(t *testing.T, by string, patience time.Duration, all ...life) (f *statusFlags, stdout, stderr *bytes.Buffer) {
	t.Helper()
	stdout, stderr = new(bytes.Buffer), new(bytes.Buffer)
	f = &statusFlags{watch: true, json: true, patience: patience, stdout: stdout, stderr: stderr}
	if by == "HTTP" {
		f.http = livesByHTTP(t, all...)
		return f, stdout, stderr
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := grpc.NewServer()
	ddpmv1.RegisterStatusServer(g, &livesByGRPC{t: t, all: all})
	go func() { _ = g.Serve(l) }() // it ends by Stop alone
	t.Cleanup(g.Stop)
	f.admin = administrator{join: l.Addr().String(), insecure: true}
	return f, stdout, stderr
}

// --watch goes on until the run ends, through coordinators that go; each word is a line
// of JSON.
func TestStatusWatch(t *testing.T) {
	t.Parallel()
	for _, by := range []string{"gRPC", "HTTP"} {
		f, stdout, stderr := watching(t, by, time.Minute, lives()...)
		if err := f.run(t.Context()); err != nil {
			t.Errorf("by %s: %v", by, err)
		}
		if lines := strings.Split(strings.TrimSpace(stdout.String()), "\n"); len(lines) != 4 || !strings.Contains(lines[3], `"phase":"ended"`) {
			t.Errorf("by %s: %s", by, stdout)
		}
		if n := strings.Count(stderr.String(), "waiting for one"); n != 1 {
			t.Errorf("by %s it says %d times that it waits: %s", by, n, stderr)
		}
	}
}

// One that hears of no coordinator any more says so; one that never did waits for none.
func TestStatusWatchGivesUp(t *testing.T) {
	t.Parallel()
	for _, by := range []string{"gRPC", "HTTP"} {
		f, stdout, _ := watching(t, by, 0, lives()[0])
		if err := f.run(t.Context()); err == nil || !strings.Contains(err.Error(), "no coordinator for 0s, and the run had not ended") {
			t.Errorf("by %s: %v", by, err)
		}
		if n := strings.Count(stdout.String(), "\n"); n != 2 {
			t.Errorf("by %s: %s", by, stdout)
		}
		f, _, _ = watching(t, by, time.Hour)
		if err := f.run(t.Context()); err == nil || strings.Contains(err.Error(), "no coordinator for") {
			t.Errorf("by %s where there is none: %v", by, err)
		}
	}
}

// Who interrupts a watch has not seen the run's end.
func TestStatusWatchInterrupted(t *testing.T) {
	t.Parallel()
	f, _, _ := watching(t, "gRPC", time.Hour, lives()[0])
	ctx, cancel := context.WithCancel(t.Context())
	f.stderr = writes(cancel)
	if err := f.run(ctx); err == nil || ctx.Err() == nil {
		t.Errorf("it ends with %v", err)
	}
}

// writes calls something when it is written to.
type writes func()

func (w writes) Write(b []byte) (int, error) {
	w()
	return io.Discard.Write(b)
}
