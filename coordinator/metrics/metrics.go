package metrics

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/ddpm-cluster/ddpm-cluster/coordinator/report"
)

// buckets of a step's and its stages' times: from a tiny model's to minutes, in
// seconds, each twice the one before.
func buckets() []float64 { return prometheus.ExponentialBuckets(0.002, 2, 18) }

// Metrics counts what happens in a run. Its methods may be called concurrently.
type Metrics struct {
	registry *prometheus.Registry

	steps, skipped, images prometheus.Counter
	step                   prometheus.Histogram
	stage                  *prometheus.HistogramVec
	published, givenUp     prometheus.Counter
	lost                   prometheus.Counter
	publishing             prometheus.Histogram
}

// New makes the metrics of a run whose status now says, and of what else there is.
func New(now func() report.Status, more ...prometheus.Collector) *Metrics {
	m := &Metrics{
		registry:  process(more),
		steps:     counter("steps_total", "Steps completed since the coordinator began to lead."),
		skipped:   counter("skipped_steps_total", "Steps whose update was skipped, for their gradient overflowed."),
		images:    counter("images_total", "Images trained on since the coordinator began to lead."),
		published: counter("checkpoints_total", "Checkpoints completed since the coordinator began to lead."),
		givenUp:   counter("checkpoints_given_up_total", "Checkpoints that did not come to be."),
		lost:      counter("workers_lost_total", "Workers that were lost, failed or were put out since the coordinator began to lead; not those that left."),
		step:      histogram("step_duration_seconds", "Time of a step, by a worker's clock.", buckets()),
		publishing: histogram("checkpoint_publish_duration_seconds", "Time from the last part's being stored to the checkpoint's being complete.",
			prometheus.ExponentialBuckets(0.01, 2, 16)),
		stage: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: namespace, Name: "step_stage_duration_seconds", Buckets: buckets(),
			Help: "Time of a step's stages, one after the other: compute (input, forward, backward and the rest), reduce (with waiting for slower members), update, checkpoint (what one takes of the training); and of compute's parts, by rank 0's clock.",
		}, []string{"stage"}),
	}
	m.registry.MustRegister(m.steps, m.skipped, m.images, m.published, m.givenUp, m.lost, m.step, m.publishing, m.stage, state{now})
	return m
}

// process has the metrics of the Go runtime and the process, and some more.
func process(more []prometheus.Collector) *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	r.MustRegister(more...)
	return r
}

const namespace = "ddpm"

func counter(name, help string) prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help})
}

func histogram(name, help string, buckets []float64) prometheus.Histogram {
	return prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: namespace, Name: name, Help: help, Buckets: buckets})
}

// Handler answers Prometheus.
func (m *Metrics) Handler() http.Handler { return handler(m.registry) }

// WithoutRun answers Prometheus where there is no run, with what there is and the Go
// runtime's.
func WithoutRun(there ...prometheus.Collector) http.Handler { return handler(process(there)) }

// Complete says of a run that this coordinator does not lead whether it is complete.
func Complete(is bool) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: namespace, Name: "complete", Help: completeHelp}, func() float64 { return truth(is) })
}

const completeHelp = "1 where the run has ended since its last step is done, so that nothing is wrong when the coordinator is gone."

// truth is 1 or 0.
func truth(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

func handler(r *prometheus.Registry) http.Handler {
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{MaxRequestsInFlight: 4, EnableOpenMetrics: true})
}

// Step counts a completed step.
func (m *Metrics) Step(l report.Line) {
	m.steps.Inc()
	m.images.Add(float64(l.Images))
	if l.Skipped {
		m.skipped.Inc()
	}
	if !l.Timed() {
		return
	}
	m.step.Observe(l.Seconds)
	for stage, seconds := range map[string]float64{
		"compute": l.ComputeSeconds, "input": l.InputSeconds, "forward": l.ForwardSeconds, "backward": l.BackwardSeconds,
		"reduce": l.ReduceSeconds, "update": l.UpdateSeconds, "checkpoint": l.CheckpointSeconds,
	} {
		m.stage.WithLabelValues(stage).Observe(seconds)
	}
}

// Checkpoint counts one that is complete.
func (m *Metrics) Checkpoint(c report.Checkpoint) {
	m.published.Inc()
	m.publishing.Observe(c.PublishSeconds)
}

// GaveUp counts a checkpoint that did not come to be.
func (m *Metrics) GaveUp() { m.givenUp.Inc() }

// Lost counts a worker that is gone and did not leave.
func (m *Metrics) Lost() { m.lost.Inc() }
