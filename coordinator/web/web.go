package web

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/ddpm-cluster/ddpm-cluster/coordinator/report"
	"github.com/ddpm-cluster/ddpm-cluster/internal/health"
	"github.com/ddpm-cluster/ddpm-cluster/internal/logging"
)

// ErrNone says that there is no such thing.
var ErrNone = errors.New("there is none")

// Source is the run that is shown. Its methods are called concurrently.
type Source interface {
	Status() report.Status
	// Curve gives the run's steps from one on, in at most so many bins.
	Curve(from uint64, points int) *report.Curve
	// Checkpoints lists those that are complete, by step.
	Checkpoints(ctx context.Context) ([]report.Checkpoint, error)
	// Picture is a checkpoint's, a PNG. ErrNone.
	Picture(ctx context.Context, step uint64) ([]byte, error)
	// Examples gives the first n examples of the step that follows so many complete
	// ones. ErrNone.
	Examples(ctx context.Context, step uint64, n int) (*report.StepExamples, error)
}

//go:embed static
var static embed.FS

const (
	// storeLimit bounds how long the Store may take to answer somebody who looks.
	storeLimit = 20 * time.Second
	// writeLimit bounds a whole answer, or one event of a stream.
	writeLimit = 30 * time.Second
	// grace is how long answers under way may take at the end.
	grace = time.Second
)

// Serve answers on a listener until the returned function is called. On a TLS
// listener everything but health wants a client certificate. alive says why the process
// should be started again, if it should; nil is never. Without a source there is no run to
// see. metrics answers /metrics; nil is no metrics. more adds what others
// answer behind the same guard. What there is to say of who asks goes to log.
func Serve(l net.Listener, log *slog.Logger, alive func() error, s Source, metrics http.Handler, more ...func(*http.ServeMux)) (stop func()) {
	over := make(chan struct{})
	server := &http.Server{
		Handler:           handler(alive, s, metrics, over, more...),
		ErrorLog:          slog.NewLogLogger(logging.OfServer(log), slog.LevelDebug),
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: writeLimit, MaxHeaderBytes: 1 << 16,
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return // the listener broke: to look is a convenience, training goes on
		}
	}()
	return func() {
		close(over) // streams end
		ctx, cancel := context.WithTimeout(context.Background(), grace)
		defer cancel()
		if server.Shutdown(ctx) != nil {
			_ = server.Close()
		}
		<-done
	}
}

func handler(alive func() error, s Source, metrics http.Handler, over <-chan struct{}, more ...func(*http.ServeMux)) http.Handler {
	inner := http.NewServeMux()
	if s != nil {
		handleRun(inner, s, over)
	}
	for _, add := range more {
		add(inner)
	}
	if metrics != nil {
		inner.Handle("GET /metrics", metrics)
	}
	outer := http.NewServeMux()
	outer.Handle("GET /healthz", health.Handler(alive))
	outer.Handle("/", guarded(inner))
	return outer
}

// handleRun answers what there is to see of a run.
func handleRun(mux *http.ServeMux, s Source, over <-chan struct{}) {
	files, err := fs.Sub(static, "static")
	if err != nil {
		panic("web: " + err.Error()) // it is embedded
	}
	mux.Handle("GET /", http.FileServerFS(files))
	a := api{source: s, viewers: NewViewers(over), document: NewDocument(s)}
	mux.HandleFunc("GET /api/status", a.status)
	mux.HandleFunc("GET /api/events", a.events)
	mux.HandleFunc("GET /api/checkpoints", a.checkpoints)
	mux.HandleFunc("GET /api/checkpoints/{step}/samples.png", a.picture)
	mux.HandleFunc("GET /api/examples", a.examples)
}

// guarded lets in who may see the run, and keeps others' pages away from it.
func guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.TLS != nil && len(r.TLS.VerifiedChains) == 0 {
			http.Error(w, "this needs an administrator's certificate: the one in admin.conf; see docs/operations.md for how a browser gets it", http.StatusUnauthorized)
			return
		}
		// A page of somebody's whose name leads to this machine would be let in by the
		// browser of whoever looks at it.
		if r.TLS == nil && !local(r.Host) {
			http.Error(w, "ask by this machine's loopback address", http.StatusMisdirectedRequest)
			return
		}
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-cache")
		next.ServeHTTP(w, r)
	})
}

// local says that a Host header names an address, or this machine.
func local(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return host == "localhost" || net.ParseIP(host) != nil
}

// api answers in JSON.
type api struct {
	source   Source
	viewers  Viewers
	document *Document
}

// status is the whole document; ?points=N adds the curve, ?watch=1 goes on with a line
// each second.
func (a api) status(w http.ResponseWriter, r *http.Request) {
	points, err := points(r, 0)
	watch := false
	if text := r.URL.Query().Get("watch"); text != "" && err == nil {
		if watch, err = strconv.ParseBool(text); err != nil {
			err = fmt.Errorf("watch=%q: must be 1, or left out", text)
		}
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if watch {
		a.follow(w, r, "application/jsonl", func(age time.Duration) error {
			text, err := a.document.Now(points, age)
			if err == nil {
				_, err = w.Write(slices.Concat(text, []byte("\n")))
			}
			return err
		})
		return
	}
	s := a.source.Status()
	if points > 0 {
		s.Curve = a.source.Curve(0, points)
	}
	answer(w, s)
}

// points reads ?points=N.
func points(r *http.Request, otherwise int) (int, error) {
	return number(r, "points", otherwise, report.MaxPoints)
}

// number reads a parameter in 1 … most.
func number(r *http.Request, name string, otherwise, most int) (int, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return otherwise, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > most {
		return 0, fmt.Errorf("%s=%q: must be a number in 1 … %d", name, text, most)
	}
	return n, nil
}

func (a api) checkpoints(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), storeLimit)
	defer cancel()
	all, err := a.source.Checkpoints(ctx)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	if all == nil {
		all = []report.Checkpoint{}
	}
	answer(w, all)
}

func (a api) picture(w http.ResponseWriter, r *http.Request) {
	step, err := strconv.ParseUint(r.PathValue("step"), 10, 64)
	if err != nil {
		http.Error(w, "the step must be a number", http.StatusBadRequest)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), storeLimit)
	defer cancel()
	png, err := a.source.Picture(ctx, step)
	switch {
	case errors.Is(err, ErrNone):
		http.Error(w, fmt.Sprintf("there is no picture of step %d", step), http.StatusNotFound)
		return
	case err != nil:
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	w.Header().Set("Content-Type", "image/png")
	w.Header().Set("Cache-Control", "private, max-age=86400, immutable") // as checkpoints are
	_, _ = w.Write(png)                                                  // a client that is gone
}

// usualExamples is how many examples are shown where nobody says.
const usualExamples = 24

// examples shows what a step trains on: ?step=N, those that are complete before it, by
// default all of now, and ?n=N examples.
func (a api) examples(w http.ResponseWriter, r *http.Request) {
	n, err := number(r, "n", usualExamples, report.MaxExamples)
	step := a.source.Status().Step
	if text := r.URL.Query().Get("step"); text != "" && err == nil {
		if step, err = strconv.ParseUint(text, 10, 48); err != nil {
			err = fmt.Errorf("step=%q: must be a number in 0 … %d", text, uint64(1)<<48-1)
		}
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), storeLimit)
	defer cancel()
	e, err := a.source.Examples(ctx, step, n)
	switch {
	case errors.Is(err, ErrNone):
		http.Error(w, "the run's dataset is not here", http.StatusNotFound)
	case err != nil:
		http.Error(w, err.Error(), http.StatusBadGateway)
	default:
		answer(w, e)
	}
}

func answer(w http.ResponseWriter, v any) {
	text, err := json.Marshal(v)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(text, '\n')) // a client that is gone
}
