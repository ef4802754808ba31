package coordinator

import (
	"github.com/ddpm-cluster/ddpm-cluster/allreduce/choice"
	"github.com/ddpm-cluster/ddpm-cluster/coordinator/report"
	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
)

// mostMeasured is more than any measure of a worker's can be.
const mostMeasured = 1e21

// believe makes 0, which is not known, of measures that can't be: they are other machines'
// word, and one that is NaN or infinite could be neither reckoned with nor shown.
func believe(measures ...*float64) {
	for _, m := range measures {
		if !(*m > 0 && *m < mostMeasured) {
			*m = 0
		}
	}
}

// linkOf is what a worker has measured of its link.
func linkOf(h *ddpmv1.Heartbeat) choice.Link {
	l := choice.Link{Latency: h.GetLinkLatencySeconds(), Bandwidth: h.GetLinkBytesPerSecond()}
	if !(l.Latency > 0 && l.Latency < 1e3) {
		l.Latency = 0
	}
	if !(l.Bandwidth > 0 && l.Bandwidth < 1e15) {
		l.Bandwidth = 0
	}
	return l
}

// completed is a step as metrics.jsonl and the status have it.
func completed(p *ddpmv1.Progress) report.Line {
	believe(&p.LearningRate, &p.Seconds, &p.ComputeSeconds, &p.ReduceSeconds, &p.HiddenSeconds, &p.UpdateSeconds,
		&p.InputSeconds, &p.ForwardSeconds, &p.BackwardSeconds, &p.CheckpointSeconds)
	for i := range p.SliceLoss {
		believe(&p.SliceLoss[i])
	}
	return report.Line{
		Step: p.GetStep(), Loss: report.Number(p.GetLoss()), GradientNorm: report.Number(p.GetGradientNorm()), LearningRate: p.GetLearningRate(),
		Skipped: p.GetSkipped(), Images: p.GetImages(), Seconds: p.GetSeconds(),
		ComputeSeconds: p.GetComputeSeconds(), ReduceSeconds: p.GetReduceSeconds(), HiddenSeconds: p.GetHiddenSeconds(), UpdateSeconds: p.GetUpdateSeconds(),
		InputSeconds: p.GetInputSeconds(), ForwardSeconds: p.GetForwardSeconds(), BackwardSeconds: p.GetBackwardSeconds(), CheckpointSeconds: p.GetCheckpointSeconds(),
		SliceLoss: p.GetSliceLoss(), SliceExamples: p.GetSliceExamples(),
	}
}
