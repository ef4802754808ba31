package logging

import (
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// written is a log that several write to.
type written struct {
	mu   sync.Mutex
	text strings.Builder
}

func (w *written) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.Write(b)
}

func (w *written) lines() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Split(strings.TrimSpace(w.text.String()), "\n")
}

// Who talks nonsense to a server fills no log, and what there is of it is as the rest of the
// log is; a handler's panic is told.
func TestOfServer(t *testing.T) {
	t.Parallel()
	w := new(written)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("out of order") }))
	s.Config.ErrorLog = slog.NewLogLogger(OfServer(slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}))), slog.LevelDebug)
	s.StartTLS()
	for range 20 * clientsBurst {
		c, err := net.Dial("tcp", s.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = c.Write([]byte("no hello\r\n\r\n")) // may be cut off already
		_, _ = io.Copy(io.Discard, c)
		_ = c.Close()
	}
	if r, err := s.Client().Get(s.URL); err == nil {
		_ = r.Body.Close()
		t.Error("a handler that panics has answered")
	}
	s.Close()
	count := map[string]int{}
	for _, line := range w.lines() {
		var l struct{ Level, Err string }
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		count[l.Level]++
		if l.Level == "ERROR" && !strings.Contains(l.Err, "out of order") {
			t.Error(line)
		}
	}
	if count["ERROR"] != 1 || count["DEBUG"] == 0 || count["DEBUG"] > 10*clientsBurst {
		t.Errorf("it logs %v", count)
	}
}
