package coordinator

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/ddpm-cluster/ddpm-cluster/coordinator/config"
)

// newMux answers /healthz and the sampling pool's jobs. Over TLS all but the health is for those with a certificate; without, for
// this machine alone.
func newMux(p *samplePool) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("ok\n")) // a client that is gone
	})
	api := http.NewServeMux()
	p.server.Handle(api)
	mux.HandleFunc("/api/", func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.TLS != nil && len(r.TLS.VerifiedChains) == 0:
			http.Error(w, "this needs an administrator's certificate: the one in admin.conf", http.StatusUnauthorized)
		case r.TLS == nil && r.Method != http.MethodGet && !config.Loopback(withPort(r.Host)):
			// A page whose name was made to lead here.
			http.Error(w, "this port is for this machine alone; call it by 127.0.0.1 or localhost", http.StatusForbidden)
		default:
			api.ServeHTTP(w, r)
		}
	})
	return mux
}

// withPort is a Host header with a port, which may be left out there.
func withPort(host string) string {
	if _, _, err := net.SplitHostPort(host); err == nil {
		return host
	}
	return net.JoinHostPort(host, "80")
}

// serveHTTP answers until the returned function is called.
func serveHTTP(l net.Listener, h http.Handler) (stop func()) {
	s := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second, MaxHeaderBytes: 1 << 16}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return // the listener broke: HTTP is a convenience, the rest goes on
		}
	}()
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if s.Shutdown(ctx) != nil {
			_ = s.Close()
		}
		<-done
	}
}
