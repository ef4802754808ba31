package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/ddpm-cluster/ddpm-cluster/coordinator/pool"
)

// Pool is the collector of a sampling pool, which package pool's Load describes. What
// waits there is missing where another coordinator leads it; what was done is counted
// since this coordinator began, and that is 0 then.
func Pool(load func() (*pool.Backlog, pool.Work)) prometheus.Collector { return sampling(load) }

// sampling is a prometheus.Collector.
type sampling func() (*pool.Backlog, pool.Work)

// Describe implements prometheus.Collector: it says nothing, since what there is
// depends on who leads.
func (sampling) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (s sampling) Collect(out chan<- prometheus.Metric) {
	backlog, work := s()
	e := emitter{out}
	leads := 0.0
	if backlog != nil {
		leads = 1
		for _, k := range pool.Kinds() {
			for _, state := range pool.States() {
				e.gauge("sampling_jobs", "Jobs of the sampling pool by what they do (draw images, or measure the loss on held-out ones) and how far they are; of those that have ended the newest ones.",
					float64(backlog.Jobs[k][state]), label{"kind", string(k)}, label{"state", state})
			}
		}
		const tasks = "Tasks of the pool's jobs: waiting for a sampler, or leased to one. Their sum is the number of samplers that would have something to do now."
		e.gauge("sampling_tasks", tasks, float64(backlog.Waiting), label{"state", "waiting"})
		e.gauge("sampling_tasks", tasks, float64(backlog.Leased), label{"state", "leased"})
	}
	e.gauge("sampling_leading", "1 where this coordinator keeps the queue of the sampling pool, 0 where another one does.", leads)
	for _, k := range pool.Kinds() {
		kind := label{"kind", string(k)}
		e.count("sampling_images_total", "Images drawn, or measured on, in tasks that are done.", work.Images[k], kind)
		e.send("sampling_steps_total", "Steps of images, each one evaluation of the network, as samplers tell of them while they draw; in tasks that were lost, too.",
			prometheus.CounterValue, work.Steps[k], []label{kind})
	}
	for _, o := range pool.Outcomes() {
		e.count("sampling_leases_ended_total", "Leases of tasks that ended: done, failed, returned by a sampler that ends, or expired since it was silent.",
			work.Leases[o], label{"outcome", string(o)})
	}
}
