package core

import (
	"fmt"
	"time"
)

const (
	// complaintLimit is how often in a row a member may fail to reach the same
	// neighbour before the neighbour is taken out.
	complaintLimit = 2
	// forgiven is how long after a worker was taken out so it may come back once more.
	forgiven = 5 * time.Minute
	// breakLimit is how many rings in a row may break without a step or a loss.
	breakLimit = 10
)

// troubles are counted until a step is completed.
type troubles struct {
	complaints map[[2]string]int
	breaks     int
	broke      uint64 // the generation that broke last
	// skipped counts steps in a row, overflow says what did not fit in the last.
	skipped  int
	overflow string
}

// progressed takes in that a step is complete.
func (m *Machine) progressed(e Progressed) []Effect {
	m.proven = m.now
	t := &m.troubles
	t.complaints, t.breaks = nil, 0
	if !e.Skipped {
		t.skipped, t.overflow = 0, ""
		return nil
	}
	t.skipped++
	if m.config.MaxSkipped == 0 || t.skipped < m.config.MaxSkipped {
		return nil
	}
	what := t.overflow
	if what == "" {
		what = "no worker has said which tensor"
	}
	return m.fail(fmt.Sprintf("the gradient overflowed in %s in a row, up to step %d (%s); lower --lr, or look at the data", plural(t.skipped, "step", "steps"), e.Step, what))
}

// complain takes in that a ring broke, and takes out a member that its neighbour
// can't reach.
func (m *Machine) complain(id string, p Position) []Effect {
	t := &m.troubles
	if t.broke != m.generation.Number {
		t.broke = m.generation.Number
		t.breaks++
	}
	if t.breaks > breakLimit {
		return m.fail(fmt.Sprintf("the ring broke %d times in a row, though all workers are there: worker %s: %s", t.breaks, id, p.Broke))
	}
	if p.Unreachable < 0 || p.Unreachable >= len(m.generation.Members) {
		return nil
	}
	blamed := m.generation.Members[p.Unreachable]
	if t.complaints == nil {
		t.complaints = map[[2]string]int{}
	}
	pair := [2]string{id, blamed.Worker}
	t.complaints[pair]++
	if t.complaints[pair] < complaintLimit {
		return nil
	}
	if m.apart == nil {
		m.apart, m.unreached = map[[2]string]bool{}, map[string]time.Time{}
	}
	m.apart[pair] = true
	last, before := m.unreached[blamed.Worker]
	m.unreached[blamed.Worker] = m.now
	again := !before || m.now.Sub(last) > forgiven
	return m.expel(blamed.Worker, fmt.Sprintf("is not reached by worker %s at %s; see --advertise and the network between the two", id, blamed.Address), again)
}

// place is where in the ring a worker joins: last, or, where it and its neighbours
// there did not reach each other before, between others.
func (m *Machine) place(id string) int {
	n := len(m.workers)
	for i := n; i > 0; i-- {
		if m.reach(m.workers[i-1].id, id) && m.reach(id, m.workers[i%n].id) {
			return i
		}
	}
	return n
}

// reach says that nothing is known against two workers as neighbours.
func (m *Machine) reach(a, b string) bool {
	return !m.apart[[2]string{a, b}] && !m.apart[[2]string{b, a}]
}
