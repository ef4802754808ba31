package web

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/ddpm-cluster/ddpm-cluster/coordinator/report"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a run that a test moves on.
type fake struct {
	mu      sync.Mutex
	status  report.Status
	history *report.History
}

func (f *fake) Status() report.Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.status
}

func (f *fake) Curve(from uint64, points int) *report.Curve {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.history.Curve(from, points)
}

func (f *fake) train(step uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.status.Step = step
	f.history.Add(report.Point{Step: step, Loss: 1, Seconds: 1})
}

func (f *fake) Checkpoints(context.Context) ([]report.Checkpoint, error) {
	return []report.Checkpoint{{Step: 5, Picture: true}}, nil
}

func (f *fake) Examples(_ context.Context, step uint64, n int) (*report.StepExamples, error) {
	if step == 6 {
		return nil, errors.New("the dataset is away")
	}
	return &report.StepExamples{Step: step, Examples: make([]report.Example, n)}, nil
}

func (f *fake) Picture(_ context.Context, step uint64) ([]byte, error) {
	switch step {
	case 5:
		return []byte("a picture"), nil
	case 6:
		return nil, errors.New("the Store is away")
	}
	return nil, fmt.Errorf("%w: no such step", ErrNone)
}

// serve serves a run until the test ends.
func serve(t *testing.T, metrics http.Handler) (f *fake, url string, stop func()) {
	t.Helper()
	f = &fake{history: report.NewHistory(), status: report.Status{Run: "r", Phase: "training"}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	stop = sync.OnceFunc(Serve(l, slog.New(slog.DiscardHandler), nil, f, metrics))
	t.Cleanup(func() {
		stop()
		http.DefaultClient.CloseIdleConnections()
	})
	return f, "http://" + l.Addr().String(), stop
}

func get(t *testing.T, url, host string) (code int, text string, header http.Header) {
	t.Helper()
	q, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	q.Host = host
	r, err := http.DefaultClient.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, string(b), r.Header
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	f, url, _ := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("the metrics")) }))
	f.train(1)
	for _, v := range []struct {
		path, host string
		code       int
		want       string
	}{
		{"/healthz", "", 200, "ok"},
		{"/healthz", "elsewhere.example", 200, "ok"},
		{"/", "", 200, "<title>ddpm</title>"},
		{"/", "localhost:1", 200, "<title>ddpm</title>"},
		{"/", "elsewhere.example", 421, "loopback"},
		{"/app.js", "", 200, "EventSource"},
		{"/vendor/uplot.js", "", 200, "uPlot"},
		{"/vendor/uplot.LICENSE", "", 200, "MIT"},
		{"/nothing", "", 404, ""},
		{"/metrics", "", 200, "the metrics"},
		{"/metrics", "elsewhere.example", 421, ""},
		{"/api/status", "", 200, `"run":"r"`},
		{"/api/status?points=10", "", 200, `"curve":{"width":1,"step":[1]`},
		{"/api/status?points=0", "", 400, "1 … 16384"},
		{"/api/status?points=many", "", 400, "must be a number"},
		{"/api/status?watch=perhaps", "", 400, "must be 1"},
		{"/api/status?watch=1&points=0", "", 400, "1 … 16384"},
		{"/api/events?points=99999", "", 400, "must be a number"},
		{"/api/checkpoints", "", 200, `[{"step":5,"picture":true}]`},
		{"/api/checkpoints/5/samples.png", "", 200, "a picture"},
		{"/api/checkpoints/6/samples.png", "", 502, "the Store is away"},
		{"/api/checkpoints/7/samples.png", "", 404, "no picture of step 7"},
		{"/api/examples?step=3&n=2", "", 200, `"step":3,"timesteps":0,"examples":[{"slot":0`},
		{"/api/examples", "", 200, `"step":1,`},
		{"/api/examples?n=0", "", 400, "1 … 256"},
		{"/api/examples?step=x", "", 400, "must be a number"},
		{"/api/examples?step=6", "", 502, "the dataset is away"},
		{"/api/checkpoints/-1/samples.png", "", 400, "a number"},
	} {
		code, text, header := get(t, url+v.path, v.host)
		if code != v.code || !strings.Contains(text, v.want) {
			t.Errorf("%s by %q: %d %.200q, want %d with %q", v.path, v.host, code, text, v.code, v.want)
		}
		if v.path == "/" && code == 200 && !strings.Contains(header.Get("Content-Security-Policy"), "default-src 'self'") {
			t.Errorf("%s has headers %v", v.path, header)
		}
	}
}

// The page names nothing that another host would have to give.
func TestPageIsWhole(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"index.html", "style.css", "app.js", "charts.js", "examples.js", "format.js", "jobs.js", "ring.js", "tables.js"} {
		text, err := static.ReadFile("static/" + name)
		if err != nil {
			t.Fatal(err)
		}
		for _, word := range []string{"https://", "http://", "url(", "//cdn"} {
			if s := strings.ReplaceAll(string(text), "http://www.w3.org/2000/svg", ""); strings.Contains(s, word) {
				t.Errorf("%s has %s", name, word)
			}
		}
	}
}

// events reads a stream.
type events struct {
	t *testing.T
	r *bufio.Scanner
}

// next is the next event.
func (e *events) next() (name, data string) {
	e.t.Helper()
	for e.r.Scan() {
		switch key, value, _ := strings.Cut(e.r.Text(), ": "); key {
		case "event":
			name = value
		case "data":
			data = value
		case "":
			return name, data
		}
	}
	return "end", ""
}

// curve waits for an event of that name.
func (e *events) curve() (c report.Curve) {
	e.t.Helper()
	for {
		name, data := e.next()
		if name == "status" {
			continue
		}
		if err := json.Unmarshal([]byte(data), &c); name != "curve" || err != nil {
			e.t.Fatalf("%s: %.200s: %v", name, data, err)
		}
		return c
	}
}

// Who looks hears the whole at first and then what is new; at the end the stream ends,
// after the last word.
func TestEvents(t *testing.T) {
	t.Parallel()
	f, url, stop := serve(t, nil)
	f.train(1)
	f.train(2)
	r, err := http.Get(url + "/api/events?points=10")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if kind := r.Header.Get("Content-Type"); kind != "text/event-stream" {
		t.Errorf("it is %s", kind)
	}
	e := &events{t, bufio.NewScanner(r.Body)}
	if name, data := e.next(); name != "status" || !strings.Contains(data, `"step":2`) {
		t.Errorf("%s: %s", name, data)
	}
	if c := e.curve(); len(c.Step) != 2 {
		t.Errorf("at first %v", c.Step)
	}
	f.train(3)
	if c := e.curve(); len(c.Step) != 2 || c.Step[1] != 3 { // the bin that was sent last, and the new one
		t.Errorf("then %v", c.Step)
	}
	for step := uint64(4); step <= 11; step++ {
		f.train(step)
	}
	if c := e.curve(); c.Width != 2 || len(c.Step) != 6 || c.Step[5] != 11 {
		t.Errorf("in another width %d, %v", c.Width, c.Step)
	}
	f.mu.Lock()
	f.status.Phase = "ended"
	f.mu.Unlock()
	stop()
	said := ""
	for {
		name, data := e.next()
		if name == "end" {
			break
		}
		said = data
	}
	if !strings.Contains(said, `"phase":"ended"`) {
		t.Errorf("the last word is %.200s", said)
	}
}
