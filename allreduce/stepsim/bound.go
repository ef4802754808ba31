package stepsim

import "github.com/ddpm-cluster/ddpm-cluster/allreduce"

// Bound is what a step's length depends on most.
type Bound string

// The bounds.
const (
	ByCompute    Bound = "compute"
	ByBandwidth  Bound = "bandwidth"
	ByHops       Bound = "hops"
	ByProcessors Bound = "processors"
)

// BoundOf says what a ring's step is bound by: the longest of compute, of its bytes on
// the link, of its elements on the processors, and of its hops, of which each is a
// latency, and a message at both ends and on the link.
func BoundOf(c Config) Bound {
	moved := float64(c.Elems) * float64(c.World-1) / float64(c.World)
	message := min(float64(c.SegmentElems), float64(c.Elems)/float64(c.World*c.Buckets))
	perHop := c.Latency + float64(2*c.Host.Message) + float64(message*(c.Host.Send+c.Host.Receive)) + message*(c.SumBytes+c.ResultBytes)/2/c.Bandwidth
	times := map[Bound]float64{
		ByCompute:    c.Compute,
		ByBandwidth:  moved * (c.SumBytes + c.ResultBytes) / c.Bandwidth,
		ByProcessors: 2 * moved * max(c.Host.Send, c.Host.Receive),
		ByHops:       float64(2*allreduce.NewRoute(c.World, 0, c.Elems, c.SegmentElems).Hops()) * perHop,
	}
	bound := ByCompute
	for _, b := range []Bound{ByBandwidth, ByProcessors, ByHops} {
		if times[b] > times[bound] {
			bound = b
		}
	}
	return bound
}
