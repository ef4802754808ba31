package tracing

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.uber.org/goleak"

	"github.com/ddpm-cluster/ddpm-cluster/internal/tracing/tracetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var discard = slog.New(slog.DiscardHandler)

// a span of 7 ms with a part that failed.
func example() Span {
	begin := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	return Span{
		Name: "whole", Begin: begin, End: begin.Add(7 * time.Millisecond), Attributes: []attribute.KeyValue{attribute.Int("step", 3)},
		Parts: []Span{
			{Name: "first", Begin: begin, End: begin.Add(time.Millisecond)},
			{Name: "second", Begin: begin.Add(time.Millisecond), End: begin.Add(2 * time.Millisecond), Err: errors.New("no luck")},
		},
	}
}

// What two processes draw of one thing arrives in one trace, with its times, parts,
// attributes and failures, and with who drew it.
func TestSpansArrive(t *testing.T) {
	c := tracetest.Start(t)
	c.Use(t)
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "zone=a,run=other")
	for _, worker := range []string{"w1", "w2"} {
		tracer := Open(t.Context(), Process{Service: "ddpm-worker", Version: "v1", Run: "digits", Worker: worker}, discard)
		tracer.Draw(Step("id", 1, 3), example())
		tracer.Draw(Step("id", 1, 4), example())
		tracer.Close()
	}
	spans := c.Spans()
	wholes := tracetest.Named(spans, "whole")
	if len(spans) != 12 || len(wholes) != 4 {
		t.Fatalf("%d spans arrived: %+v", len(spans), spans)
	}
	traces, ids := map[string]int{}, map[string]bool{}
	for _, s := range spans {
		traces[s.Trace]++
		ids[s.ID] = true
	}
	if len(traces) != 2 || len(ids) != len(spans) {
		t.Errorf("%d traces of %v, %d spans", len(traces), traces, len(ids))
	}
	workers := map[string]int{}
	for _, s := range wholes {
		workers[s.Resource["worker"]]++
		if s.Parent != "" || s.End.Sub(s.Begin) != 7*time.Millisecond || !s.Begin.Equal(example().Begin) || s.Attributes["step"] != "3" ||
			s.Resource["service.name"] != "ddpm-worker" || s.Resource["service.version"] != "v1" || s.Resource["run"] != "digits" || s.Resource["zone"] != "a" {
			t.Errorf("%+v", s)
		}
		if parts := tracetest.Parts(spans, s); !slices.Equal(parts, []string{"first", "second"}) {
			t.Errorf("the parts are %q", parts)
		}
	}
	if workers["w1"] != 2 || workers["w2"] != 2 {
		t.Errorf("drawn by %v", workers)
	}
	for _, s := range spans {
		if failed := s.Failed != ""; failed != (s.Name == "second") || failed && s.Failed != "no luck" {
			t.Errorf("%s failed: %q", s.Name, s.Failed)
		}
	}
}

// Parts have parts, of the same trace; and a sampler that wants nothing of a trace gets
// none of its parts either.
func TestPartsOfParts(t *testing.T) {
	for sampler, want := range map[string]int{"always_on": 4, "always_off": 0} {
		c := tracetest.Start(t)
		c.Use(t)
		t.Setenv("OTEL_TRACES_SAMPLER", sampler)
		whole := example()
		whole.Parts[1].Parts = []Span{{Name: "inner", Begin: whole.Begin, End: whole.End, Attributes: []attribute.KeyValue{attribute.Int("shard", 5)}}}
		tracer := Open(t.Context(), Process{Service: "s"}, discard)
		tracer.Draw(Step("id", 1, 3), whole)
		tracer.Close()
		spans := c.Spans()
		if len(spans) != want {
			t.Errorf("%s: %d spans", sampler, len(spans))
		}
		if want == 0 {
			continue
		}
		second, inner := tracetest.Named(spans, "second")[0], tracetest.Named(spans, "inner")[0]
		if inner.Parent != second.ID || inner.Trace != second.Trace || inner.Attributes["shard"] != "5" || inner.Resource["service.name"] != "s" || !inner.End.Equal(whole.End) {
			t.Errorf("%+v within %+v", inner, second)
		}
	}
}

// Over HTTP, which is the default, a collector gets the same.
func TestHTTP(t *testing.T) {
	var mu sync.Mutex
	got := map[string]int{}
	collector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		if err == nil && bytes.Contains(body, []byte("whole")) {
			got[r.URL.Path+" "+r.Header.Get("X-Key")]++
		}
	}))
	defer collector.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", collector.URL+"/in")
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-key=secret")
	tracer := Open(t.Context(), Process{Service: "s"}, discard)
	tracer.Draw("a", example())
	tracer.Close()
	mu.Lock()
	defer mu.Unlock()
	if len(got) != 1 || got["/in secret"] != 1 {
		t.Errorf("%v", got)
	}
}

// Without a collector, or with tracing turned off, there is no tracer, and drawing by
// none is nothing.
func TestOff(t *testing.T) {
	for name, env := range map[string][]string{
		"nothing": {}, "disabled": {"OTEL_SDK_DISABLED", "true"}, "none": {"OTEL_TRACES_EXPORTER", "none"}, "protocol": {"OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"},
	} {
		t.Run(name, func(t *testing.T) {
			if len(env) > 0 {
				t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
				t.Setenv(env[0], env[1])
			}
			var log bytes.Buffer
			tracer := Open(t.Context(), Process{Service: "s"}, slog.New(slog.NewTextHandler(&log, nil)))
			if tracer != nil {
				t.Error("there is a tracer")
			}
			tracer.Draw("a", example())
			tracer.Close()
			if said := strings.Count(log.String(), "\n"); said != len(env)/2*strings.Count(name, "protocol") {
				t.Errorf("the log says %q", &log)
			}
		})
	}
	if n := testing.AllocsPerRun(10, func() { (*Tracer)(nil).Draw("a", Span{}) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// A collector that is not there holds nobody up, is told of once, and the end waits for
// a bounded time.
func TestCollectorIsAway(t *testing.T) {
	for _, protocol := range []string{"grpc", "http/protobuf"} {
		t.Run(protocol, func(t *testing.T) {
			t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1") // nobody listens there
			t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
			t.Setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "200")
			t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
			log := &lines{}
			tracer := Open(t.Context(), Process{Service: "s"}, slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelWarn})))
			longest := time.Duration(0)
			for range 20_000 { // ten times what the queue holds
				began := time.Now()
				tracer.Draw("a", example())
				longest = max(longest, time.Since(began))
			}
			for log.count() == 0 {
				time.Sleep(time.Millisecond)
			}
			began := time.Now()
			tracer.Close()
			if took := time.Since(began); took > 10*flushLimit {
				t.Errorf("the end waited for %v", took)
			}
			t.Logf("the longest of 20000 took %v; the log says %s", longest, log.text.String())
			if log.count() != 1 {
				t.Errorf("the log says %q", log.text.String())
			}
		})
	}
}

// lines is a log.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), "\n")
}

// What it takes to draw a step of eight shards.
func BenchmarkDrawOfAStep(b *testing.B) {
	b.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
	tracer := Open(b.Context(), Process{Service: "s"}, discard)
	defer tracer.Close()
	begin := time.Now()
	step := Span{Name: "step", Begin: begin, End: begin}
	for range 8 {
		shard := Span{Name: "shard", Begin: begin, End: begin}
		for _, stage := range []string{"input", "forward", "backward"} {
			shard.Parts = append(shard.Parts, Span{Name: stage, Begin: begin, End: begin})
		}
		step.Parts = append(step.Parts, shard)
	}
	for b.Loop() {
		tracer.Draw("step", step)
	}
}
