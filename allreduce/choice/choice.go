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
	memory               = 3e-9
	sumBytes, resultSize = 3.58, 3.46
)

// gain is the part of the ring's cost that another way has to save: a ring sends to
// neighbours alone and needs no other links, so that in doubt it is taken.
const gain = 0.1

// smallest and largest are the powers of two between which the bound is sought.
const smallest, largest = 1 << 10, 1 << 26

// Cluster is who reduces what.
type Cluster struct {
	// Members are so many; Hosts are how many of them each machine has, nil: each its own.
	Members int
	Hosts   []int
	// Apart says that members of a machine do not share memory there.
	Apart bool
	// Elems is the vector's length, in buckets of BucketElems; 0 means
	// allreduce.DefaultBucketElems of it.
	Elems, BucketElems int
	// Links are the members', as far as they are known.
	Links []Link
}

// Plan is the way to go.
type Plan struct {
	// HalvingElems is up to how many elements a bucket is to go by halving; 0: none.
	HalvingElems int
	// Lanes says that the members of each host are to share memory, and that all go in
	// lanes between the hosts.
	Lanes bool
}

// Choose is the way to go, and why.
func Choose(c Cluster) (p Plan, reason string) {
	p.HalvingElems, reason = c.halvingElems()
	if c.Apart || len(c.Hosts) < 2 || slices.Max(c.Hosts) == 1 {
		return p, reason
	}
	link, told := c.link()
	s := c.step(link, c.Elems)
	flat := stepsim.Ring
	if min(c.Elems, c.bucketElems()) <= p.HalvingElems {
		flat = stepsim.Halving
	}
	if stepsim.Cost(stepsim.TwoLevel, s, c.Hosts) > (1-gain)*stepsim.Cost(flat, s, c.Hosts) {
		return p, reason
	}
	lanes := allreduce.Hosts(c.Hosts).Lanes()
	return Plan{Lanes: true}, fmt.Sprintf("two-level: %s between %d hosts, %s", count(lanes, "lane"), len(c.Hosts), c.why(link, told))
}

func (c Cluster) bucketElems() int {
	if c.BucketElems == 0 {
		return allreduce.DefaultBucketElems(c.Elems)
	}
	return c.BucketElems
}

// why is what a choice is made of.
func (c Cluster) why(link, told Link) string {
	return fmt.Sprintf("%s, %.0f us a hop%s, %.3g Gbit/s%s",
		count(c.Members, "member"), 1e6*(link.Latency+2*message), assumed(told.Latency), 8e-9*link.Bandwidth, assumed(told.Bandwidth))
}

func (c Cluster) halvingElems() (elems int, reason string) {
	c.BucketElems = c.bucketElems()
	link, told := c.link()
	why := c.why(link, told)
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
	s, hosts := c.step(link, n), c.Hosts
	if len(hosts) < 2 { // they share no link
		hosts = stepsim.Even(c.Members, 1)
	}
	return stepsim.Cost(stepsim.Halving, s, hosts) <= (1-gain)*stepsim.Cost(stepsim.Ring, s, hosts)
}

func (c Cluster) step(link Link, n int) stepsim.Config {
	return stepsim.Config{
		World: c.Members, Elems: n, Bandwidth: link.Bandwidth, Latency: link.Latency,
		SumBytes: sumBytes, ResultBytes: resultSize, Host: stepsim.Host{Send: send, Receive: receive, Message: message, Memory: memory},
	}
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

func count(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}

func assumed(measured float64) string {
	if measured == 0 {
		return " (assumed)"
	}
	return ""
}
