package choice

import (
	"fmt"
	"slices"

	"github.com/ddpm-cluster/ddpm-cluster/allreduce"
	"github.com/ddpm-cluster/ddpm-cluster/allreduce/stepsim"
)

// Link is what a member has measured of its link: seconds one way, and bytes a second. 0
// is not known.
type Link struct{ Latency, Bandwidth float64 }

// Default is assumed of a link that nobody has measured.
var Default = Link{Latency: 50e-6, Bandwidth: 10e9 / 8}

// What a message and an element cost a machine, and what an element takes on the wire:
// docs/scaling.md says where they were measured.
const (
	message              = 20e-6
	send, receive        = 2.6e-9, 3.6e-9
	sumBytes, resultSize = 3.58, 3.70
)

// gain is the part of the ring's cost that halving has to save: a ring sends to
// neighbours alone and needs no other links, so that in doubt it is taken.
const gain = 0.1

// smallest and largest are the powers of two between which the bound is sought.
const smallest, largest = 1 << 10, 1 << 26

// Cluster is who reduces what.
type Cluster struct {
	// Members are so many, PerHost of them on a machine at most.
	Members, PerHost int
	// Elems is the vector's length, in buckets of BucketElems; 0 means
	// allreduce.DefaultBucketElems of it.
	Elems, BucketElems int
	// Links are the members', as far as they are known.
	Links []Link
}

// HalvingElems is up to how many elements a bucket is to go by halving, and why; 0: none.
func HalvingElems(c Cluster) (elems int, reason string) {
	if c.BucketElems == 0 {
		c.BucketElems = allreduce.DefaultBucketElems(c.Elems)
	}
	link, told := c.link()
	why := fmt.Sprintf("%s, %.0f us a hop%s, %.3g Gbit/s%s",
		count(c.Members), 1e6*(link.Latency+2*message), assumed(told.Latency), 8e-9*link.Bandwidth, assumed(told.Bandwidth))
	bound := 0
	for n := smallest; n <= largest && c.Members > 1 && c.saves(link, n); n *= 2 {
		bound = n
	}
	rest := (c.Elems-1)%c.BucketElems + 1 // of the last bucket, which none is smaller than
	switch {
	case bound == 0:
		return 0, "ring: " + why
	case rest > bound:
		return 0, fmt.Sprintf("ring: all buckets are above %d elements, up to which halving takes less: %s", bound, why)
	case min(c.Elems, c.BucketElems) <= bound:
		return bound, "halving: " + why
	}
	return bound, fmt.Sprintf("halving up to %d elements, ring above: %s", bound, why)
}

// saves says that a bucket of n elements is worth halving.
func (c Cluster) saves(link Link, n int) bool {
	s := stepsim.Config{
		World: c.Members, Elems: n, Bandwidth: link.Bandwidth, Latency: link.Latency,
		SumBytes: sumBytes, ResultBytes: resultSize, Host: stepsim.Host{Send: send, Receive: receive, Message: message},
	}
	perHost := max(1, c.PerHost)
	if perHost >= c.Members { // they share no link
		perHost = 1
	}
	return stepsim.Cost(stepsim.Halving, s, perHost) <= (1-gain)*stepsim.Cost(stepsim.Ring, s, perHost)
}

// link is the median of what is known, or else what is assumed; told is 0 there.
func (c Cluster) link() (link, told Link) {
	told = Link{
		Latency:   median(c.Links, func(l Link) float64 { return l.Latency }),
		Bandwidth: median(c.Links, func(l Link) float64 { return l.Bandwidth }),
	}
	link = told
	if link.Latency == 0 {
		link.Latency = Default.Latency
	}
	if link.Bandwidth == 0 {
		link.Bandwidth = Default.Bandwidth
	}
	return link, told
}

// median is of the values that are known, 0 where none is.
func median(links []Link, value func(Link) float64) float64 {
	var known []float64
	for _, l := range links {
		if v := value(l); v > 0 {
			known = append(known, v)
		}
	}
	if len(known) == 0 {
		return 0
	}
	slices.Sort(known)
	return known[len(known)/2]
}

func count(members int) string {
	if members == 1 {
		return "1 member"
	}
	return fmt.Sprintf("%d members", members)
}

func assumed(measured float64) string {
	if measured == 0 {
		return " (assumed)"
	}
	return ""
}
