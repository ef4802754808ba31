package web

import (
	"bytes"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/ddpm-cluster/ddpm-cluster/internal/health"
)

// What net/http says is in the process' own log, and not beside it.
func TestServersLog(t *testing.T) {
	t.Parallel()
	defer http.DefaultClient.CloseIdleConnections()
	broken := func() error { panic("out of order") }
	for name, serve := range map[string]func(net.Listener, *slog.Logger) func(){
		"web":    func(l net.Listener, log *slog.Logger) func() { return Serve(l, log, broken, nil, nil) },
		"health": func(l net.Listener, log *slog.Logger) func() { return health.Serve(l, log, broken) },
	} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		var text bytes.Buffer // read when all that write to it have ended
		stop := serve(l, slog.New(slog.NewJSONHandler(&text, &slog.HandlerOptions{Level: slog.LevelDebug})))
		if r, err := http.Get("http://" + l.Addr().String() + "/healthz"); err == nil {
			_ = r.Body.Close()
			t.Errorf("%s: a handler that panics has answered", name)
		}
		stop()
		if !strings.Contains(text.String(), "out of order") {
			t.Errorf("%s: the log has %q", name, &text)
		}
	}
}
