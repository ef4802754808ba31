package metrics

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ddpm-cluster/ddpm-cluster/coordinator/report"
)

// phases are all that a run can be in.
func phases() []string {
	return []string{"waiting", "adopting", "forming", "training", "changing", "saving", "paused", "ended"}
}

// state is a prometheus.Collector of what the status says.
type state struct{ now func() report.Status }

// Describe implements prometheus.Collector: it says nothing, since what there is
// depends on the run.
func (state) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (s state) Collect(out chan<- prometheus.Metric) {
	r := s.now()
	e := emitter{out}
	e.gauge("run_info", "The run and the coordinator's version; always 1.", 1, label{"run", r.Run}, label{"version", r.Version})
	e.gauge("step", "Steps completed, those of earlier starts included.", float64(r.Step))
	e.gauge("target_step", "The step at which the run ends.", float64(r.Steps))
	e.known("loss", "Loss (L_simple) of the newest step; missing where it is not finite.", r.Loss)
	e.known("gradient_norm", "Norm of the newest step's gradient before clipping.", r.GradientNorm)
	e.known("learning_rate", "Learning rate of the newest step.", r.LearningRate)
	for i, loss := range r.SliceLoss {
		e.known("slice_loss", "Mean loss, over about the last 30 steps, of the examples whose timestep is in a slice of [0, T): slice 0 has the least noise.", loss, label{"slice", strconv.Itoa(i)})
	}
	e.gauge("loss_not_finite", "1 where the newest step's loss is NaN or infinite.", truth(r.Images > 0 && !r.Loss.Finite()))
	e.known("images_per_second", "Images trained on in a second, over about the last 30 steps.", r.ImagesPerSecond)
	e.known("flops_per_second", "Floating-point operations of the network, as its layers define them, that the run makes in a second.", r.FlopsPerSecond)
	e.known("peak_flops_per_second", "Floating-point operations that the members' threads could make in a second at most, as each has measured its own.", r.PeakFlopsPerSecond)
	e.known("seconds_per_step", "Time of a step, over about the last 30 steps, by a worker's clock; missing before the first.", r.SecondsPerStep)
	if r.StepAt != nil {
		e.gauge("last_step_timestamp_seconds", "When the newest step was told of, in seconds since 1970; missing before the first since this coordinator began to lead.", float64(r.StepAt.UnixMilli())/1000)
	}
	e.known("remaining_seconds", "Time that the steps to come take at the present rate.", r.SecondsLeft)
	for _, p := range phases() {
		e.gauge("phase", "1 for the phase that the run is in, 0 for the others.", truth(p == r.Phase), label{"phase", p})
	}
	e.gauge("complete", completeHelp, truth(r.Phase == "ended" && r.Step >= r.Steps))
	e.gauge("generation", "Number of the generation.", float64(r.Generation))
	e.workers(r.Workers)
	if c := r.Checkpoint; c != nil {
		e.gauge("checkpoint_step", "Step of the newest checkpoint.", float64(c.Step))
		e.gauge("checkpoint_size_bytes", "Size of the newest checkpoint.", float64(c.Bytes))
		if c.At != nil {
			e.gauge("checkpoint_timestamp_seconds", "When the newest checkpoint was complete, in seconds since 1970; missing until this coordinator makes one.", float64(c.At.UnixMilli())/1000)
		}
	}
	e.gauge("leading_since_timestamp_seconds", "When this coordinator began to lead, in seconds since 1970.", float64(r.Started.UnixMilli())/1000)
	if a := r.Access; a != nil {
		e.count("certificates_issued_total", "Certificates given to workers.", a.Joined, label{"kind", "join"})
		e.count("certificates_issued_total", "Certificates given to workers.", a.Renewed, label{"kind", "renewal"})
		e.count("access_refused_total", "Who was not let in: for a bad handshake, token or call, or for asking too often or too many at once.", a.Refused, label{"cause", "bad"})
		e.count("access_refused_total", "Who was not let in: for a bad handshake, token or call, or for asking too often or too many at once.", a.Limited, label{"cause", "rate"})
	}
}

// workers are what each worker has, and how many there are.
func (e emitter) workers(all []report.Worker) {
	members := 0
	for _, w := range all {
		if w.Shards > 0 {
			members++
		}
		name := label{"worker", w.ID}
		e.gauge("worker_shards_per_second", "Shards that a worker computes in a second of computing.", w.ShardRate, name)
		e.gauge("worker_shards", "Shards of each step that are a worker's own.", float64(w.Shards), name)
		e.count("worker_ring_sent_bytes_total", "Bytes that a worker has sent to the next one in the ring since it began.", w.RingSentBytes, name)
		e.gauge("worker_ring_bytes_per_second", "Bytes that a worker sent in a second of its last all-reduce, with waiting for others.", w.RingBytesPerSecond, name)
		e.gauge("worker_silence_seconds", "Time since a worker's last sign of life.", w.SeenSeconds, name)
	}
	e.gauge("workers", "Workers that are there.", float64(len(all)))
	e.gauge("members", "Workers that have shards in this generation.", float64(members))
}

type label struct{ name, value string }

// emitter makes metrics.
type emitter struct{ out chan<- prometheus.Metric }

func (e emitter) send(name, help string, t prometheus.ValueType, v float64, labels []label) {
	names, values := make([]string, len(labels)), make([]string, len(labels))
	for i, l := range labels {
		names[i], values[i] = l.name, l.value
	}
	d := prometheus.NewDesc(prometheus.BuildFQName(namespace, "", name), help, names, nil)
	e.out <- prometheus.MustNewConstMetric(d, t, v, values...)
}

func (e emitter) gauge(name, help string, v float64, labels ...label) {
	e.send(name, help, prometheus.GaugeValue, v, labels)
}

func (e emitter) count(name, help string, v uint64, labels ...label) {
	e.send(name, help, prometheus.CounterValue, float64(v), labels)
}

// known is a gauge where there is a value.
func (e emitter) known(name, help string, v report.Number, labels ...label) {
	if v.Finite() {
		e.gauge(name, help, float64(v), labels...)
	}
}
