package metrics

import (
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/ddpm-cluster/ddpm-cluster/coordinator/pool"
	"github.com/ddpm-cluster/ddpm-cluster/coordinator/report"
)

// full is a status in which everything is there.
func full() report.Status {
	at := time.Unix(1700000000, 0)
	return report.Status{
		Run: "r", Version: "v1", Started: at, Phase: "training", Step: 7, Steps: 9, Loss: 0.25, GradientNorm: 2, LearningRate: 1e-4,
		Images: 16, ImagesPerSecond: 32, SecondsPerStep: 0.5, StepAt: &at, SecondsLeft: 1, Generation: 3,
		SliceLoss: []report.Number{0.5, report.Unknown()}, FlopsPerSecond: 1e9, PeakFlopsPerSecond: 4e9, PeakShare: 0.25,
		Workers:    []report.Worker{{ID: "w1", Shards: 4, ShardRate: 2.5, SeenSeconds: 0.5, RingSentBytes: 100, RingBytesPerSecond: 50}, {ID: "w2"}},
		Checkpoint: &report.Checkpoint{Step: 5, Bytes: 1000, At: &at},
		Access:     &report.Access{Joined: 2, Refused: 3, Limited: 1},
	}
}

// busy is a pool with something of everything.
func busy() (*pool.Backlog, pool.Work) {
	return &pool.Backlog{Jobs: map[pool.Kind]map[string]int{pool.Sampling: {"queued": 2, "done": 7}}, Waiting: 5, Leased: 3},
		pool.Work{Images: map[pool.Kind]uint64{pool.Sampling: 40}, Steps: map[pool.Kind]float64{pool.Evaluation: 2.5}, Leases: map[pool.Outcome]uint64{pool.TaskExpired: 4}}
}

// A coordinator that trains nothing shows the pool, and none of it where another leads.
func TestWithoutRun(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	idle := func() (*pool.Backlog, pool.Work) { return nil, pool.Work{} }
	WithoutRun(Pool(idle), NewStore()).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	text := w.Body.String()
	for _, want := range []string{`ddpm_sampling_leading 0`, `ddpm_sampling_images_total{kind="sampling"} 0`, `ddpm_store_requests_total{operation="list"} 0`, `go_goroutines `} {
		if !strings.Contains(text, "\n"+want) {
			t.Errorf("no %q", want)
		}
	}
	for _, no := range []string{"ddpm_step", "ddpm_sampling_tasks", "ddpm_sampling_jobs"} {
		if strings.Contains(text, "\n"+no) {
			t.Errorf("there is %s", no)
		}
	}
}

// page is what Prometheus gets.
func page(t *testing.T, m *Metrics) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != 200 {
		t.Fatalf("%d: %s", w.Code, w.Body)
	}
	return w.Body.String()
}

// The page is what `promtool check metrics` finds no fault with, and says what the
// run does.
func TestMetrics(t *testing.T) {
	t.Parallel()
	store := NewStore()
	store.Requested("get")
	store.Failed("get")
	store.Retried("get")
	m := New(full, Pool(busy), store)
	m.Step(report.Line{Step: 6, Images: 16, Seconds: 0.5, ComputeSeconds: 0.4, ReduceSeconds: 0.07, UpdateSeconds: 0.03})
	m.Step(report.Line{Step: 7, Images: 16, Skipped: true})
	m.Checkpoint(report.Checkpoint{Step: 5, PublishSeconds: 0.25})
	m.GaveUp()
	m.Lost()
	text := page(t, m)
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, namespace) {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
	for _, want := range []string{
		`ddpm_step 7`, `ddpm_slice_loss{slice="0"} 0.5`, `ddpm_flops_per_second 1e+09`, `ddpm_peak_flops_per_second 4e+09`,
		`ddpm_worker_ring_sent_bytes_total{worker="w1"} 100`, `ddpm_worker_ring_bytes_per_second{worker="w1"} 50`, `ddpm_target_step 9`, `ddpm_seconds_per_step 0.5`, `ddpm_last_step_timestamp_seconds 1.7e+09`, `ddpm_loss 0.25`, `ddpm_loss_not_finite 0`, `ddpm_steps_total 2`, `ddpm_skipped_steps_total 1`, `ddpm_images_total 32`,
		`ddpm_phase{phase="training"} 1`, `ddpm_phase{phase="ended"} 0`, `ddpm_complete 0`, `ddpm_generation 3`, `ddpm_workers 2`, `ddpm_members 1`,
		`ddpm_worker_shards_per_second{worker="w1"} 2.5`, `ddpm_step_duration_seconds_sum 0.5`, `ddpm_step_duration_seconds_count 1`, `ddpm_step_stage_duration_seconds_sum{stage="reduce"} 0.07`,
		`ddpm_checkpoint_step 5`, `ddpm_checkpoint_size_bytes 1000`, `ddpm_checkpoint_timestamp_seconds 1.7e+09`,
		`ddpm_checkpoints_total 1`, `ddpm_checkpoints_given_up_total 1`, `ddpm_workers_lost_total 1`, `ddpm_checkpoint_publish_duration_seconds_count 1`,
		`ddpm_access_refused_total{cause="bad"} 3`, `ddpm_certificates_issued_total{kind="join"} 2`, `ddpm_run_info{run="r",version="v1"} 1`,
		`ddpm_sampling_jobs{kind="sampling",state="queued"} 2`, `ddpm_sampling_jobs{kind="evaluation",state="failed"} 0`, `ddpm_sampling_tasks{state="waiting"} 5`, `ddpm_sampling_tasks{state="leased"} 3`,
		`ddpm_sampling_leading 1`, `ddpm_sampling_images_total{kind="sampling"} 40`, `ddpm_sampling_steps_total{kind="evaluation"} 2.5`, `ddpm_sampling_leases_ended_total{outcome="expired"} 4`,
		`ddpm_store_requests_total{operation="get"} 1`, `ddpm_store_errors_total{operation="get"} 1`, `ddpm_store_retries_total{operation="get"} 1`, `ddpm_store_errors_total{operation="put_if_absent"} 0`, `go_goroutines `,
	} {
		if !strings.Contains(text, "\n"+want) {
			t.Errorf("no %q", want)
		}
	}
}

// A loss that is no number is missing, and said to be.
func TestLossThatIsNone(t *testing.T) {
	t.Parallel()
	s := full()
	s.Loss, s.Access, s.Checkpoint, s.Workers = report.Unknown(), nil, nil, nil
	text := page(t, New(func() report.Status { return s }))
	if strings.Contains(text, "\nddpm_loss ") || !strings.Contains(text, "\nddpm_loss_not_finite 1") {
		t.Error(text)
	}
}

var (
	metricName = regexp.MustCompile(`\b(?:ddpm|process|go)_[a-z_]+`)
	// made are the names that Prometheus makes of a histogram's.
	made = regexp.MustCompile(`_(bucket|sum|count)$`)
)

// The alerts, the Grafana dashboard and the chart's autoscaling ask for metrics that there are, and the page on
// operating names all of ours.
func TestOthersKnowTheNames(t *testing.T) {
	t.Parallel()
	m := New(full, Pool(busy), NewStore())
	m.Step(report.Line{Step: 1, Seconds: 1})
	there := map[string]bool{}
	for _, line := range strings.Split(page(t, m), "\n") {
		if name, ok := strings.CutPrefix(line, "# TYPE "); ok {
			name, _, _ = strings.Cut(name, " ")
			there[name] = true
		}
	}
	root := filepath.Join("..", "..")
	for _, name := range []string{"deploy/prometheus/alerts.yaml", "deploy/prometheus/alerts_test.yaml", "deploy/grafana/ddpm.json", "deploy/helm/ddpm/values.yaml", "docs/operations.md"} {
		text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
		if err != nil {
			t.Fatal(err)
		}
		asked := map[string]bool{}
		for _, metric := range metricName.FindAllString(string(text), -1) {
			asked[metric] = true
			if !there[metric] && !there[made.ReplaceAllString(metric, "")] {
				t.Errorf("%s asks for %s", name, metric)
			}
		}
		for metric := range there {
			if name == "docs/operations.md" && strings.HasPrefix(metric, namespace) && !asked[metric] {
				t.Errorf("%s does not say what %s is", name, metric)
			}
		}
	}
}
