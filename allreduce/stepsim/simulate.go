package stepsim

import (
	"fmt"

	"github.com/ddpm-cluster/ddpm-cluster/allreduce"
)

// Simulate reckons one step. It is a pure function of its config.
func Simulate(c Config) (Result, error) {
	if err := c.validate(); err != nil {
		return Result{}, err
	}
	s := newSimulation(c)
	for len(s.calendar.events) > 0 {
		e := s.calendar.next()
		s.now = e.at
		s.happen(e)
	}
	for i := range s.ranks {
		if r := &s.ranks[i]; r.missing > 0 || len(r.queue) > 0 {
			return Result{}, fmt.Errorf("simulate a step: rank %d still waits for %d messages: this is a defect", i, r.missing)
		}
	}
	s.result.WireBytes /= float64(len(s.ranks))
	s.result.Messages *= c.World / len(s.ranks)
	return s.result, nil
}

// alike says that all ranks do the same at the same time, but for an element more in
// some chunks: then one rank that is its own neighbour stands for all.
func (c Config) alike() bool { return c.Straggle == nil && c.Host.Ranks == 1 }

// simulation is a step under way.
type simulation struct {
	Config
	calendar calendar
	now      float64
	ranks    []rank
	hosts    []host
	result   Result
}

// rank is one of the ring.
type rank struct {
	// routes are of each bucket; own are all its own segments in order.
	routes []allreduce.Route
	own    []message
	begun  int // of own, how many have been queued
	credit int // how many may be queued yet
	ready  int // buckets that are computed

	inbox, queue       []message
	receiving, sending bool
	missing            int // messages that are still to come
	linkFree           float64
}

// host has processors, and tasks that wait for one.
type host struct {
	free  int
	tasks []task
}

// task takes a processor for a while, and then happens.
type task struct {
	seconds float64
	then    event
}

func newSimulation(c Config) *simulation {
	ranks := c.World
	if c.alike() {
		ranks = 1
	}
	s := &simulation{Config: c, ranks: make([]rank, ranks), hosts: make([]host, (ranks+c.Host.Ranks-1)/c.Host.Ranks)}
	for i := range s.hosts {
		s.hosts[i].free = c.Host.Cores
	}
	for i := range s.ranks {
		r := &s.ranks[i]
		r.credit = c.InFlight
		for b := range c.Buckets {
			lo, hi := b*c.Elems/c.Buckets, (b+1)*c.Elems/c.Buckets
			elems := hi - lo
			if ranks < c.World { // all chunks are as long as the longest
				elems = (elems + c.World - 1) / c.World * c.World
			}
			route := allreduce.NewRoute(c.World, i, elems, c.SegmentElems)
			r.routes = append(r.routes, route)
			for hop := range route.Hops() {
				for _, phase := range []allreduce.Phase{allreduce.ReduceScatter, allreduce.AllGather} {
					_, received := route.Segments(phase, hop)
					r.missing += received
				}
			}
			if route.Hops() > 0 {
				first, _ := route.Segments(allreduce.ReduceScatter, 0)
				for segment := range first {
					r.own = append(r.own, message{bucket: int32(b), segment: int32(segment), own: true})
				}
			}
			s.foresee(c.ready(i, b), computed, i, message{bucket: int32(b)})
		}
	}
	return s
}

func (s *simulation) foresee(at float64, k kind, rank int, m message) {
	s.calendar.add(event{at: at, kind: k, rank: int32(rank), what: m})
}

func (s *simulation) happen(e event) {
	i := int(e.rank)
	r := &s.ranks[i]
	switch e.kind {
	case computed:
		r.ready++
		s.result.Compute, s.result.Step = max(s.result.Compute, s.now), max(s.result.Step, s.now)
		s.begin(i)
	case arrived:
		r.inbox = append(r.inbox, e.what)
	case received:
		s.release(i)
		r.receiving = false
		r.missing--
		s.result.Messages++
		s.result.Step = max(s.result.Step, s.now)
		s.pass(i, e.what)
	case sent:
		s.release(i)
		s.transmit(i, e.what)
	case freed:
		r.sending = false
	}
	s.receive(i)
	s.send(i)
}

// begin queues the rank's own segments that are computed, as far as they may be under
// way.
func (s *simulation) begin(i int) {
	r := &s.ranks[i]
	for r.credit > 0 && r.begun < len(r.own) && int(r.own[r.begun].bucket) < r.ready {
		r.queue = append(r.queue, r.own[r.begun])
		r.begun++
		r.credit--
	}
}

// receive gives the receiver its next message, if it can add to it.
func (s *simulation) receive(i int) {
	r := &s.ranks[i]
	if r.receiving || len(r.inbox) == 0 || int(r.inbox[0].bucket) >= r.ready {
		return
	}
	m := r.inbox[0]
	r.inbox, r.receiving = r.inbox[1:], true
	n := s.elems(i, m, false)
	s.compute(i, s.Host.Message+float64(s.Host.Receive*float64(n)), event{kind: received, rank: int32(i), what: m})
}

// send gives the sender its next message.
func (s *simulation) send(i int) {
	r := &s.ranks[i]
	if r.sending || len(r.queue) == 0 {
		return
	}
	m := r.queue[0]
	r.queue, r.sending, m.own = r.queue[1:], true, false
	n := s.elems(i, m, true)
	s.compute(i, s.Host.Message+float64(s.Host.Send*float64(n)), event{kind: sent, rank: int32(i), what: m})
}

// elems is how many elements a message has that the rank sends, or else receives.
func (s *simulation) elems(i int, m message, sends bool) int {
	phase := allreduce.ReduceScatter
	if m.gather {
		phase = allreduce.AllGather
	}
	return s.ranks[i].routes[m.bucket].Elems(phase, int(m.hop), int(m.segment), sends)
}

// transmit puts a message on the link; the sender goes on when the link is no further
// behind than its buffer.
func (s *simulation) transmit(i int, m message) {
	r := &s.ranks[i]
	perElement := s.SumBytes
	if m.gather {
		perElement = s.ResultBytes
	}
	bytes := s.MessageBytes + float64(perElement*float64(s.elems(i, m, true)))
	s.result.WireBytes += bytes
	r.linkFree = max(r.linkFree, s.now-s.Burst/s.Bandwidth) + bytes/s.Bandwidth
	s.foresee(max(s.now, r.linkFree)+s.Latency, arrived, (i+1)%len(s.ranks), m)
	s.foresee(max(s.now, r.linkFree-s.Buffer/s.Bandwidth), freed, i, m)
}

// pass queues what follows from a message that the receiver has done with.
func (s *simulation) pass(i int, m message) {
	r := &s.ranks[i]
	last := int(m.hop) == r.routes[m.bucket].Hops()-1
	home := m.gather && m.hop == 0 // one of its own segments has come back
	switch {
	case m.gather && last:
	case last:
		m.gather, m.hop = true, 0
		r.queue = append(r.queue, m)
	default:
		m.hop++
		r.queue = append(r.queue, m)
	}
	if home {
		r.credit++
		s.begin(i)
	}
}

// compute takes a processor of the rank's host.
func (s *simulation) compute(i int, seconds float64, then event) {
	h := &s.hosts[i/s.Host.Ranks]
	if h.free == 0 {
		h.tasks = append(h.tasks, task{seconds, then})
		return
	}
	h.free--
	then.at = s.now + seconds
	s.calendar.add(then)
}

// release gives a processor back, to whoever waits for it longest.
func (s *simulation) release(i int) {
	h := &s.hosts[i/s.Host.Ranks]
	if len(h.tasks) == 0 {
		h.free++
		return
	}
	t := h.tasks[0]
	h.tasks = h.tasks[1:]
	t.then.at = s.now + t.seconds
	s.calendar.add(t.then)
}
