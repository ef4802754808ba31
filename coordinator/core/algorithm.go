package core

import (
	"fmt"
	"strings"

	"github.com/ddpm-cluster/ddpm-cluster/allreduce/choice"
)

// brokenLinks is how many rings in a row may break, without a step in between, before
// the next has no more links than a ring needs.
const brokenLinks = 2

// choose sets which way the buckets of a generation go. It is for the generation that is
// being made: none is made for its sake.
func (m *Machine) choose(g *Generation, workers []*worker) {
	if m.config.Elems == 0 || len(workers) < 2 || g.LastStep == g.StartStep {
		return
	}
	switch a, b := m.strangers(workers); {
	case a != "":
		g.AllReduce = fmt.Sprintf("ring: workers %s and %s did not reach each other", a, b)
		return
	case m.troubles.breaks >= brokenLinks:
		g.AllReduce = fmt.Sprintf("ring: the links broke %d times in a row", m.troubles.breaks)
		return
	}
	c := choice.Cluster{Members: len(workers), Elems: m.config.Elems, Links: make([]choice.Link, len(workers))}
	hosts := map[string]int{}
	for i, w := range workers {
		host := w.address[:max(0, strings.LastIndexByte(w.address, ':'))]
		hosts[host]++
		c.PerHost = max(c.PerHost, hosts[host])
		c.Links[i] = w.link
	}
	if c.PerHost == len(workers) && hosts[""] == 0 {
		g.AllReduce = fmt.Sprintf("in shared memory if they can, or else round a ring: all %d members are at one host", len(workers))
		return
	}
	g.HalvingElems, g.AllReduce = choice.HalvingElems(c)
}

// strangers are two of the workers of which one did not reach the other.
func (m *Machine) strangers(workers []*worker) (a, b string) {
	if len(m.apart) == 0 {
		return "", ""
	}
	for i, w := range workers {
		for _, other := range workers[:i] {
			if m.apart[[2]string{w.id, other.id}] || m.apart[[2]string{other.id, w.id}] {
				return other.id, w.id
			}
		}
	}
	return "", ""
}

// measured takes in what a worker says of its link.
func (w *worker) measured(l choice.Link) {
	if l.Latency > 0 {
		w.link.Latency = l.Latency
	}
	if l.Bandwidth > 0 {
		w.link.Bandwidth = l.Bandwidth
	}
}
