package coordinator

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// slowEtcd stores and renews when it is let.
type slowEtcd struct {
	records
	let  chan error // an answer
	at   chan string
	mu   sync.Mutex
	gone []string
}

func (e *slowEtcd) PutWorker(ctx context.Context, id string, _ any, _ time.Duration) error {
	return e.KeepWorker(ctx, id)
}

func (e *slowEtcd) KeepWorker(ctx context.Context, id string) error {
	select {
	case e.at <- id:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-e.let:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (e *slowEtcd) DropWorker(_ context.Context, id string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.gone = append(e.gone, id)
	return nil
}

// However slow etcd is, a heartbeat waits for nothing, each worker has one request
// under way, and a failure is told once.
func TestLeasesWaitForNobody(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	etcd := &slowEtcd{let: make(chan error), at: make(chan string)}
	l := newLeases(etcd, slog.New(slog.NewTextHandler(&log, nil)))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	l.begin(ctx, "w1", "record", time.Minute)
	l.begin(ctx, "w2", "record", time.Minute)
	within(t, func() { <-etcd.at })
	within(t, func() { <-etcd.at }) // which the other one's does not hold up
	for range 1000 {
		l.heard("w1")
	}
	l.heard("nobody")
	etcd.let <- errors.New("timeout")
	etcd.let <- errors.New("timeout")
	within(t, func() { <-etcd.at }) // the thousand heartbeats are one renewal
	etcd.let <- errors.New("timeout")
	l.end("w1")
	l.end("w1")
	l.heard("w1")
	l.end("w2")
	within(t, l.wait)
	slices.Sort(etcd.gone)
	if !slices.Equal(etcd.gone, []string{"w1", "w2"}) {
		t.Errorf("dropped %v", etcd.gone)
	}
	if n := strings.Count(log.String(), "renew"); n != 2 {
		t.Errorf("%d warnings, want one for each worker:\n%s", n, &log)
	}

	l.begin(ctx, "w3", "record", time.Minute)
	within(t, func() { <-etcd.at })
	l.end("w3")
	cancel()
	within(t, l.wait)
}

// A worker that comes back under its name gets its lease after the old one is gone.
func TestLeaseOfOneThatComesBack(t *testing.T) {
	t.Parallel()
	etcd := &slowEtcd{let: make(chan error), at: make(chan string)}
	l := newLeases(etcd, slog.New(slog.DiscardHandler))
	l.begin(t.Context(), "w1", "record", time.Minute)
	within(t, func() { <-etcd.at })
	l.end("w1")
	l.begin(t.Context(), "w1", "record", time.Minute)
	select {
	case <-etcd.at:
		t.Error("the new lease does not wait for the old one")
	case <-time.After(50 * time.Millisecond):
	}
	within(t, func() { etcd.let <- nil })
	within(t, func() { <-etcd.at })
	etcd.mu.Lock()
	if !slices.Equal(etcd.gone, []string{"w1"}) {
		t.Errorf("dropped %v", etcd.gone)
	}
	etcd.mu.Unlock()
	within(t, func() { etcd.let <- nil })
	l.end("w1")
	within(t, l.wait)
	if len(l.gone) != 1 {
		t.Errorf("%d are remembered", len(l.gone))
	}
}

// within fails where something that should come at once does not.
func within(t *testing.T, do func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		do()
	}()
	select {
	case <-done:
	case <-time.After(wait):
		t.Fatal("it hangs")
	}
}
