package worker

import (
	"slices"
	"testing"

	"github.com/ddpm-cluster/ddpm-cluster/internal/tracing/tracetest"
)

// With a collector the weights are those of a run without, and every member's spans of
// a step are in one trace, with the step's stages as their parts.
func TestTracesOfSteps(t *testing.T) {
	want := newCluster(t, 1).quiet(t)
	collector := tracetest.Start(t)
	collector.Use(t)
	c := newCluster(t, 2)
	c.every = 2
	if _, digest := c.train(t); digest != want {
		t.Errorf("digest %s with traces, %s without", digest, want)
	}
	spans := collector.Spans()
	traces, shards := map[string]map[string]bool{}, map[string]int{}
	for _, s := range tracetest.Named(spans, "step") {
		if traces[s.Trace] == nil {
			traces[s.Trace] = map[string]bool{}
		}
		traces[s.Trace][s.Resource["worker"]] = true
		if s.Resource["service.name"] != "ddpm-worker" || s.Resource["run"] != runName || s.Attributes["generation"] == "" || s.Parent != "" || s.End.Before(s.Begin) {
			t.Errorf("%+v", s)
		}
		parts := tracetest.Parts(spans, s)
		for _, stage := range []string{"shard", "all-reduce", "update", "checkpoint"} {
			if !slices.Contains(parts, stage) {
				t.Errorf("step %s has no %s, but %q", s.Attributes["step"], stage, parts)
			}
		}
		for _, part := range parts {
			if part == "shard" {
				shards[s.Attributes["step"]]++
			}
		}
	}
	if len(traces) != int(c.steps) {
		t.Errorf("%d traces of %d steps", len(traces), c.steps)
	}
	for trace, workers := range traces {
		if len(workers) != 2 {
			t.Errorf("trace %s is of the workers %v", trace, workers)
		}
	}
	for step, n := range shards {
		if n != c.spec.Shards() {
			t.Errorf("step %s has %d shards of %d", step, n, c.spec.Shards())
		}
	}
	// A member's share of a checkpoint is in the trace of its step.
	saves := tracetest.Named(spans, "save")
	if len(saves) != 4 {
		t.Errorf("%d shares of two checkpoints by two members", len(saves))
	}
	for _, s := range saves {
		if traces[s.Trace] == nil || !slices.Equal(tracetest.Parts(spans, s), []string{"copy", "wait", "store"}) {
			t.Errorf("%+v with the parts %q", s, tracetest.Parts(spans, s))
		}
	}
	if n := len(tracetest.Named(spans, "enter")); n != 2 {
		t.Errorf("%d entered the generation", n)
	}
}

// Where a member is lost the others keep what they have computed: each shard is drawn in
// one completed step, and the weights are the same.
func TestTracesOfALoss(t *testing.T) {
	c := newCluster(t, 3)
	c.steps = 8
	want := c.quiet(t)
	collector := tracetest.Start(t)
	collector.Use(t)
	c.onMessage = atStep(3, func(f *fake) { f.peers[1].dismiss(false, "a test") })
	f, _ := c.run(t.Context(), t)
	if digest := f.digest(c.steps); digest != want {
		t.Errorf("digest %s, want %s", digest, want)
	}
	spans := collector.Spans()
	steps := map[string]string{}
	for _, s := range tracetest.Named(spans, "step") {
		steps[s.ID] = s.Attributes["step"]
		if s.Failed != "" && slices.Contains(tracetest.Parts(spans, s), "shard") {
			t.Errorf("a step that failed has shards: %+v", s)
		}
	}
	seen := map[string]bool{}
	for _, s := range tracetest.Named(spans, "shard") {
		name := "shard " + s.Attributes["shard"] + " of step " + steps[s.Parent]
		if seen[name] {
			t.Errorf("%s is drawn twice", name)
		}
		seen[name] = true
	}
}
