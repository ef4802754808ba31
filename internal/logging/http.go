package logging

import (
	"context"
	"log/slog"
	"strings"

	"golang.org/x/time/rate"
)

// How many lines of what a server has to say of its clients are logged, a second and at once.
const clientsRate, clientsBurst = 1, 10

// OfServer is the handler of an http.Server's ErrorLog. Whoever reaches the port can have it
// say something, so that is for debugging, and bounded; that a handler panics is a fault.
func OfServer(to *slog.Logger) slog.Handler {
	return clients{to, rate.NewLimiter(clientsRate, clientsBurst)}
}

// clients is a slog.Handler of lines on clients.
type clients struct {
	to    *slog.Logger
	limit *rate.Limiter
}

// Enabled implements slog.Handler.
func (clients) Enabled(context.Context, slog.Level) bool { return true }

// Handle implements slog.Handler.
func (c clients) Handle(ctx context.Context, r slog.Record) error {
	switch {
	case strings.HasPrefix(r.Message, "http: panic serving"):
		c.to.ErrorContext(ctx, "a handler of an HTTP server panicked", "err", r.Message)
	case c.limit.Allow():
		c.to.DebugContext(ctx, "an HTTP server", "err", r.Message)
	}
	return nil
}

// WithAttrs implements slog.Handler; an ErrorLog has none.
func (c clients) WithAttrs([]slog.Attr) slog.Handler { return c }

// WithGroup implements slog.Handler.
func (c clients) WithGroup(string) slog.Handler { return c }
