package logging

import (
	"context"
	"log/slog"
	"sync/atomic"
)

// Where is the place in a run that a process is at. Each line of a logger made by
// Logger says it, as far as it is known and the line does not say it itself. All
// methods may be called concurrently, and on nil, which is told nothing; none waits.
type Where struct {
	names            atomic.Pointer[names]
	generation, step atomic.Uint64
}

type names struct{ run, worker string }

// Name says which run it is, and which worker this is; "" is none.
func (w *Where) Name(run, worker string) {
	if w != nil {
		w.names.Store(&names{run, worker})
	}
}

// Generation says which generation is the newest.
func (w *Where) Generation(number uint64) {
	if w != nil {
		w.generation.Store(number)
	}
}

// Step says how many steps are complete.
func (w *Where) Step(step uint64) {
	if w != nil {
		w.step.Store(step)
	}
}

// Logger gives a logger whose lines say where the process is.
func (w *Where) Logger(l *slog.Logger) *slog.Logger {
	return slog.New(located{l.Handler(), w, 0})
}

// attrs are what is known now.
func (w *Where) attrs() []slog.Attr {
	n := w.names.Load()
	if n == nil {
		return nil
	}
	all := []slog.Attr{slog.String("run", n.run)}
	if n.worker != "" {
		all = append(all, slog.String("worker", n.worker))
	}
	if g := w.generation.Load(); g > 0 {
		all = append(all, slog.Uint64("generation", g))
	}
	return append(all, slog.Uint64("step", w.step.Load()))
}

// located is the handler of such a logger. depth counts the groups around what comes.
type located struct {
	slog.Handler
	where *Where
	depth int
}

// Handle implements slog.Handler.
func (h located) Handle(ctx context.Context, r slog.Record) error {
	if h.depth > 0 {
		return h.Handler.Handle(ctx, r)
	}
	said := map[string]bool{}
	r.Attrs(func(a slog.Attr) bool {
		said[a.Key] = true
		return true
	})
	r = r.Clone()
	for _, a := range h.where.attrs() {
		if !said[a.Key] {
			r.AddAttrs(a)
		}
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h located) WithAttrs(attrs []slog.Attr) slog.Handler {
	return located{h.Handler.WithAttrs(attrs), h.where, h.depth}
}

// WithGroup implements slog.Handler.
func (h located) WithGroup(name string) slog.Handler {
	return located{h.Handler.WithGroup(name), h.where, h.depth + 1}
}
