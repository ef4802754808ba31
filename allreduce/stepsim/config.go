package stepsim

import (
	"errors"
	"fmt"
)

// Config is a cluster and its step. Times are in seconds, sizes in bytes.
type Config struct {
	// World ranks reduce Elems elements, in Buckets parts, in messages of SegmentElems
	// elements, with InFlight of a rank's own under way.
	World, Elems, Buckets  int
	SegmentElems, InFlight int
	// Compute is how long each rank computes, Backward the last part of it in which
	// the buckets become ready one after the other, evenly. Straggle is how much longer
	// than that a rank computes; nil: no rank does.
	Compute, Backward float64
	Straggle          func(rank int) float64
	// Bandwidth is a rank's, each way, in bytes a second; Latency is one way.
	Bandwidth, Latency float64
	// Buffer is how many bytes a sender may be ahead of its link, Burst how many a link
	// that was idle for long enough passes at once, as a token bucket does.
	Buffer, Burst float64
	// SumBytes and ResultBytes are what an element takes on the wire in the two phases,
	// MessageBytes what a message takes besides.
	SumBytes, ResultBytes, MessageBytes float64
	Host                                Host
}

// Host is a machine and what a message costs it.
type Host struct {
	// Ranks are on each host, with so many processors for the ring.
	Ranks, Cores int
	// Send and Receive are seconds of a processor for an element, Message for a
	// message, at each end. Memory is what an element of the vector takes a rank that
	// reduces through shared memory, in all.
	Send, Receive, Message, Memory float64
}

func (c Config) validate() error {
	switch {
	case c.World < 1 || c.Elems < 1 || c.Buckets < 1 || c.Buckets > c.Elems || c.SegmentElems < 1 || c.InFlight < 1:
		return fmt.Errorf("simulate %d ranks, %d elements in %d buckets, segments of %d, %d in flight: all must be at least 1, and a bucket has an element",
			c.World, c.Elems, c.Buckets, c.SegmentElems, c.InFlight)
	case c.Bandwidth <= 0 || c.Host.Ranks < 1 || c.Host.Cores < 1:
		return errors.New("simulate a cluster: bandwidth, ranks of a host and processors must be above 0")
	}
	return nil
}

// ready is when a rank has computed a bucket.
func (c Config) ready(rank, bucket int) float64 {
	late := 0.0
	if c.Straggle != nil {
		late = c.Straggle(rank)
	}
	left := float64(c.Buckets-1-bucket) / float64(c.Buckets)
	return c.Compute + late - float64(left*c.Backward)
}

// Result is what a step took.
type Result struct {
	// Step is until the last rank has all results; Compute until the slowest rank has
	// computed.
	Step, Compute float64
	// WireBytes is what a rank sends, the mean of all; Messages how many there were.
	WireBytes float64
	Messages  int
}

// Exposed is what the ring adds to compute.
func (r Result) Exposed() float64 { return r.Step - r.Compute }
