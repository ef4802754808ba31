package e2e

import (
	"testing"

	"github.com/ddpm-cluster/ddpm-cluster/internal/tracing/tracetest"
)

// The law with traces: a run ends with the same bits whether a collector takes them, is
// named but not there, or is not named at all. Both members' and the coordinator's spans
// arrive before the processes end.
func TestTracesChangeNothing(t *testing.T) {
	args := []string{"--workers", "2", "--steps", "4", "--checkpoint-every", "2", "--log-format", "text"}
	_, want := train(t, t.TempDir(), args...).lastLine(t)
	collector := tracetest.Start(t)
	var env []string
	for _, v := range collector.Environment() {
		env = append(env, v[0]+"="+v[1])
	}
	for name, env := range map[string][]string{"collector": env, "nobody": {"OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1"}} {
		if _, got := trainEnv(t, env, t.TempDir(), args...).lastLine(t); got != want {
			t.Errorf("%s: digest %s with traces, %s without", name, got, want)
		}
	}
	spans := collector.Spans()
	steps := map[string]int{}
	for _, s := range tracetest.Named(spans, "step") {
		steps[s.Trace]++
	}
	for trace, members := range steps {
		if members != 2 {
			t.Errorf("trace %s has the step of %d members", trace, members)
			for _, s := range spans {
				if s.Trace == trace || s.Name == "enter" {
					t.Logf("%s of %s %s", s.Name, s.Resource["service.name"], s.Resource["worker"])
				}
			}
		}
	}
	published := tracetest.Named(spans, "publish")
	if len(steps) != 4 || len(published) != 2 {
		t.Fatalf("%d steps, %d checkpoints published, in %d spans", len(steps), len(published), len(spans))
	}
	for _, s := range published {
		if steps[s.Trace] == 0 || s.Resource["service.name"] != "ddpm-coordinator" {
			t.Errorf("%+v is in no step's trace", s)
		}
	}
	if n := len(tracetest.Named(spans, "forward")); n == 0 {
		t.Error("no forward pass is drawn")
	}
}
