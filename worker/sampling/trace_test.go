package sampling

import (
	"slices"
	"testing"

	"github.com/ddpm-cluster/ddpm-cluster/internal/tracing"
	"github.com/ddpm-cluster/ddpm-cluster/internal/tracing/tracetest"
)

// Each task is a span with what was done for it as its parts; one that fails says why.
func TestTraces(t *testing.T) {
	collector := tracetest.Start(t)
	collector.Use(t)
	p := newPlace(t)
	tracer := tracing.Open(t.Context(), tracing.Process{Service: "ddpm-worker", Worker: "w"}, discard)
	other := p.job(2, 2)
	other.Digest = "sha256:1"
	f := &fakePool{leases: append(p.leases(t, "good", p.job(2, 2), 2)[:1], p.leases(t, "bad", other, 2)[0]), tracer: tracer}
	if err := f.work(t, 1); err != nil {
		t.Fatal(err)
	}
	tracer.Close()
	spans := collector.Spans()
	tasks := map[string]tracetest.Span{}
	for _, s := range tracetest.Named(spans, "task") {
		tasks[s.Attributes["job"]] = s
	}
	good, bad := tasks["good"], tasks["bad"]
	if parts := tracetest.Parts(spans, good); !slices.Equal(parts, []string{"load", "passes", "store"}) || good.Failed != "" || good.Attributes["images"] != "2" {
		t.Errorf("%+v has the parts %q", good, parts)
	}
	if parts := tracetest.Parts(spans, bad); !slices.Equal(parts, []string{"load"}) || bad.Failed == "" {
		t.Errorf("%+v has the parts %q", bad, parts)
	}
}
