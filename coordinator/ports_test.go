package coordinator

import (
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ddpm-cluster/ddpm-cluster/coordinator/config"
	"github.com/ddpm-cluster/ddpm-cluster/coordinator/registry"
)

// standingBy is a standby at an address, in an etcd of its own, with the log of what it does.
func standingBy(t *testing.T, address string, bind time.Duration) (*start, *registry.Etcd, *watched) {
	t.Helper()
	log := &watched{found: make(chan string, 1)}
	etcd, err := registry.Embed(t.Context(), filepath.Join(t.TempDir(), "etcd"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := etcd.Close(); err != nil {
			t.Error(err)
		}
	})
	s := &start{
		config: settings(t, "--preset", "tiny", "--listen", address, "--http", "127.0.0.1:0"), plan: config.Plan{Run: "r"},
		log: slog.New(slog.NewTextHandler(log, nil)),
	}
	s.options.limits.bind = bind
	t.Cleanup(s.close)
	return s, etcd, log
}

// taken is a port that somebody else has.
func taken(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// A standby whose port is taken when it is to lead gives the leadership up, and leads once the
// port is free.
func TestAStandbyWhosePortIsTaken(t *testing.T) {
	t.Parallel()
	other := taken(t)
	s, etcd, log := standingBy(t, other.Addr().String(), 0)
	leads := make(chan error, 1)
	var leader *registry.Leader
	go func() {
		var err error
		leader, err = s.standBy(t.Context(), etcd)
		leads <- err
	}()
	for until := time.Now().Add(wait); !strings.Contains(log.String(), "stands by again"); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("it does not say that it can't lead:\n%s", log)
		}
	}
	if strings.Contains(log.String(), "leading now") {
		t.Errorf("it leads, and nobody reaches it:\n%s", log)
	}
	_ = other.Close()
	within(t, func() {
		if err := <-leads; err != nil {
			t.Error(err)
		}
	})
	if leader == nil {
		t.FailNow()
	}
	if err := leader.Check(t.Context()); err != nil || s.listener == nil || len(s.webs) != 1 {
		t.Errorf("it leads: %v, listens at %v and %v", err, s.listener, s.webs)
	}
	if err := leader.Close(); err != nil {
		t.Error(err)
	}
}

// Whoever has the port may be about to go: a standby leads then at the first try.
func TestAStandbyWaitsForItsPort(t *testing.T) {
	t.Parallel()
	other := taken(t)
	s, etcd, log := standingBy(t, other.Addr().String(), wait)
	time.AfterFunc(300*time.Millisecond, func() { _ = other.Close() })
	within(t, func() {
		leader, err := s.standBy(t.Context(), etcd)
		if err != nil || strings.Contains(log.String(), "stands by again") {
			t.Errorf("it stands by: %v\n%s", err, log)
			return
		}
		if err := leader.Close(); err != nil {
			t.Error(err)
		}
	})
}

// What no waiting mends ends a standby, as it does another coordinator at its start.
func TestAStandbyWithNoAddress(t *testing.T) {
	t.Parallel()
	s, etcd, _ := standingBy(t, "127.0.0.1:99999", wait)
	within(t, func() {
		if _, err := s.standBy(t.Context(), etcd); err == nil || !strings.Contains(err.Error(), "--listen 127.0.0.1:99999") {
			t.Errorf("it stands by with %v", err)
		}
	})
}
