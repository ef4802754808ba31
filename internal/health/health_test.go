package health

import (
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A loop that turns is alive however long it has nothing to do; one that does not is
// not, and is again when it goes on.
func TestPulse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewPulse("the loop")
		time.Sleep(2 * limit)
		if err := p.Check(); err != nil {
			t.Fatalf("before it begins: %v", err)
		}
		p.Beat()
		for range 10 {
			time.Sleep(limit)
			if err := p.Check(); err != nil {
				t.Fatal(err)
			}
			p.Beat()
		}
		time.Sleep(limit + time.Second)
		if err := p.Check(); err == nil || err.Error() != "the loop has not turned for 3m1s" {
			t.Errorf("a loop that is stuck: %v", err)
		}
		p.Beat()
		if err := p.Check(); err != nil {
			t.Error(err)
		}
		p.Rest()
		time.Sleep(2 * limit)
		if err := p.Check(); err != nil {
			t.Errorf("after its end: %v", err)
		}
		var nobody *Pulse
		nobody.Beat()
		nobody.Rest()
	})
}

func TestServe(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var stuck atomic.Bool
	stop := Serve(l, slog.New(slog.DiscardHandler), func() error {
		if stuck.Load() {
			return net.ErrClosed
		}
		return nil
	})
	defer stop()
	defer http.DefaultClient.CloseIdleConnections()
	get := func(path string) (int, string) {
		r, err := http.Get("http://" + l.Addr().String() + path)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		text, err := io.ReadAll(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		return r.StatusCode, strings.TrimSpace(string(text))
	}
	if code, text := get("/healthz"); code != 200 || text != "ok" {
		t.Errorf("alive: %d %q", code, text)
	}
	stuck.Store(true)
	if code, text := get("/healthz"); code != 503 || text != net.ErrClosed.Error() {
		t.Errorf("not alive: %d %q", code, text)
	}
	if code, _ := get("/"); code != 404 {
		t.Errorf("something else: %d", code)
	}
}
