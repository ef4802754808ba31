package health

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/ddpm-cluster/ddpm-cluster/internal/logging"
)

// Handler answers 200, or 503 with the reason where alive gives one; nil never does.
func Handler(alive func() error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if alive != nil {
			if err := alive(); err != nil {
				http.Error(w, err.Error(), http.StatusServiceUnavailable)
				return
			}
		}
		_, _ = w.Write([]byte("ok\n")) // a client that is gone
	})
}

// Serve answers GET /healthz on a listener, and what more adds, until the returned function
// is called. What there is to say of who asks goes to log.
func Serve(l net.Listener, log *slog.Logger, alive func() error, more ...func(*http.ServeMux)) (stop func()) {
	mux := http.NewServeMux()
	mux.Handle("GET /healthz", Handler(alive))
	for _, add := range more {
		add(mux)
	}
	server := &http.Server{
		Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 5 * time.Second, WriteTimeout: 5 * time.Second,
		ErrorLog: slog.NewLogLogger(logging.OfServer(log), slog.LevelDebug), IdleTimeout: 30 * time.Second, MaxHeaderBytes: 1 << 13,
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return // the listener broke, and whoever asks hears nothing
		}
	}()
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if server.Shutdown(ctx) != nil {
			_ = server.Close()
		}
		<-done
	}
}
