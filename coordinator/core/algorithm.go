package core

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/ddpm-cluster/ddpm-cluster/allreduce/choice"
)

// brokenLinks is how many rings in a row may break, without a step in between, before
// the next has no more links than a ring needs.
const brokenLinks = 2

// choose sets which way the buckets of a generation go. It is for the generation that is
// being made: none is made for its sake. Workers of a host follow one another.
func (m *Machine) choose(g *Generation, workers []*worker) {
	if len(workers) < 2 || g.LastStep == g.StartStep {
		return
	}
	hosts := hostSizes(workers)
	if len(hosts) == 1 {
		g.Hosts = hosts
	}
	if m.config.Elems == 0 {
		return
	}
	if len(hosts) == 1 {
		g.AllReduce = fmt.Sprintf("in shared memory if they can, or else round a ring: all %d members are at one host", len(workers))
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
	c := choice.Cluster{Members: len(workers), Hosts: hosts, Apart: apart(workers), Elems: m.config.Elems, Links: make([]choice.Link, len(workers))}
	for i, w := range workers {
		c.Links[i] = w.link
	}
	var p choice.Plan
	p, g.AllReduce = choice.Choose(c)
	g.HalvingElems = p.HalvingElems
	if p.Lanes {
		g.Hosts = hosts
	}
}

// order is the ring's: by host, but where two workers did not reach each other as they are,
// since they were placed between others (see place).
func (m *Machine) order(workers []*worker) []*worker {
	if a, _ := m.strangers(workers); a != "" {
		return workers
	}
	return byHost(workers)
}

// byHost orders workers so that those of a host follow one another, and otherwise as they
// are: a ring then leaves each host once.
func byHost(workers []*worker) []*worker {
	first := map[string]int{}
	for i, w := range workers {
		if _, seen := first[w.host()]; !seen {
			first[w.host()] = i
		}
	}
	ordered := slices.Clone(workers)
	slices.SortStableFunc(ordered, func(a, b *worker) int { return cmp.Compare(first[a.host()], first[b.host()]) })
	return ordered
}

// hostSizes counts the workers of each host, one of unknown host alone.
func hostSizes(workers []*worker) []int {
	var sizes []int
	for i, w := range workers {
		if i > 0 && w.host() != "" && w.host() == workers[i-1].host() {
			sizes[len(sizes)-1]++
		} else {
			sizes = append(sizes, 1)
		}
	}
	return sizes
}

// apart says that a worker shares no memory with others of its host.
func apart(workers []*worker) bool {
	for i, w := range workers {
		near := func(j int) bool { return j >= 0 && j < len(workers) && w.host() != "" && workers[j].host() == w.host() }
		if w.apart && (near(i-1) || near(i+1)) {
			return true
		}
	}
	return false
}

// host is the one at which a worker is reached, empty where that is not known.
func (w *worker) host() string { return hostOf(w.address) }

func hostOf(address string) string { return address[:max(0, strings.LastIndexByte(address, ':'))] }

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
