package coordinator

import (
	"slices"
	"testing"

	"github.com/ddpm-cluster/ddpm-cluster/internal/tracing"
	"github.com/ddpm-cluster/ddpm-cluster/internal/tracing/tracetest"
)

// The coordinator draws each change of the generation, what etcd took of it, and the
// commit of each checkpoint.
func TestTraces(t *testing.T) {
	collector := tracetest.Start(t)
	collector.Use(t)
	c := launch(t, t.TempDir(), nil, "--workers", "2", "--steps", "10", "--checkpoint-every", "5")
	peers := c.team(2)
	for step := uint64(1); step <= 10; step++ {
		peers[0].trained(step, 1)
		if step == 5 {
			peers[1].save(5, digest("a"))
			peers[0].save(5, digest("a"))
		}
	}
	peers[0].finish(10, digest("b"))
	peers[1].finish(10, digest("b"))
	for _, p := range peers {
		p.dismissed()
	}
	if err := c.end(); err != nil {
		t.Fatal(err)
	}
	spans := collector.Spans()
	for _, s := range spans {
		if s.Resource["service.name"] != "ddpm-coordinator" || s.Resource["run"] != "tiny" || s.Failed != "" || s.End.Before(s.Begin) {
			t.Errorf("%+v", s)
		}
	}
	changes, kept := tracetest.Named(spans, "change"), tracetest.Named(spans, "persist")
	if len(changes) != 1 || len(kept) != 1 || changes[0].Trace != kept[0].Trace {
		t.Fatalf("changes %+v, kept in etcd %+v", changes, kept)
	}
	if a := changes[0].Attributes; a["generation"] != "1" || a["members"] != "2" || a["reason"] == "" {
		t.Errorf("%v", a)
	}
	steps, traces := []string{}, []string{}
	for _, s := range tracetest.Named(spans, "publish") {
		steps, traces = append(steps, s.Attributes["step"]), append(traces, s.Trace)
	}
	if !slices.Equal(steps, []string{"5", "10"}) || traces[0] == traces[1] {
		t.Errorf("published %v in the traces %v", steps, traces)
	}
}

// Without a collector nothing is drawn.
func TestNoTraces(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "")
	s := &start{}
	defer s.trace(t.Context())()
	if s.tracer != (*tracing.Tracer)(nil) {
		t.Error("there is a tracer")
	}
}
