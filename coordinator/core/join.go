package core

import (
	"fmt"
	"slices"
	"time"
)

func (m *Machine) join(e Joined) []Effect {
	if reason := m.refusal(e); reason != "" {
		return []Effect{Refuse{e.Worker, reason}}
	}
	w := &worker{id: e.Worker, address: e.Address}
	w.life.every = m.heartbeat()
	w.life.heard(m.now)
	m.joined = m.now
	admit := Admit{Worker: e.Worker, Heartbeat: w.life.every}
	if w.life.every > m.config.Heartbeat {
		w.asked = true
		admit.Ask = quiet(w.life.every)
		admit.Heartbeat = max(unasked*w.life.every, admit.Ask*3/2)
		m.relax(w.life.every)
	}
	effects := []Effect{admit}
	m.byID[w.id] = w
	if e.Resume == nil {
		m.workers = slices.Insert(m.workers, m.place(w.id), w)
		return effects
	}
	w.available = true
	here := m.phase == adopting && m.generation.member(w.id) != nil
	switch p := *e.Resume; {
	case !p.Training:
		w.position, w.member = &p, here
	case here && p.Generation == m.generation.Number:
		w.member, w.ready = true, true
	default:
		// It trains in a generation that is over, or is yet to hear that it is; or in one that
		// this coordinator was never told of.
		w.member, w.halted = here, m.now
		effects = append(effects, Halt{w.id, max(m.generation.Number, m.believed(p.Generation)), "its generation is over"})
	}
	m.workers = slices.Insert(m.workers, m.place(w.id), w)
	return effects
}

const (
	// beatShare is the time between two signs of life, of all workers together: what a
	// coordinator takes to hear them does not grow with their number.
	beatShare = 5 * time.Millisecond
	// proving is how many times as long members are left alone while completed steps prove
	// that they live, and quietest how long at most: their rates are heard with it, and a
	// worker to whom nothing is said for 30 s asks by itself. Others are left alone twice
	// as long.
	proving, others = 6, 2
	quietest        = 28 * time.Second
	// heardOf is how many signs of life of each worker there are at least in the longest
	// silence that one may keep: half as many of others while steps are completed. What
	// many workers take to be heard grows from there on with their number.
	heardOf = 4
	// unasked is how many times as long a worker that is asked waits before it gives a
	// sign of life by itself.
	unasked = 4
)

// heartbeat is how often a worker that joins now is to give a sign of life. Where
// there are many it is less often, and when they are asked, which all are at once: that
// a process is gone shows at once, by its connection, and signs of life are for machines
// that stand still.
func (m *Machine) heartbeat() time.Duration {
	if m.config.Heartbeat == 0 {
		return 0
	}
	all := time.Duration(max(m.config.Workers, len(m.workers)+1)) * beatShare
	return max(m.config.Heartbeat, min(all, m.config.Silence.Max/heardOf))
}

// relax gives those longer who joined when there were fewer: all are asked at once, as
// often as there are many.
func (m *Machine) relax(every time.Duration) {
	for _, w := range m.workers {
		if w.asked {
			w.life.every = max(w.life.every, every)
		}
	}
}

// quiet is how long members are left alone while completed steps prove that they live.
func quiet(heartbeat time.Duration) time.Duration {
	return min(proving*heartbeat, quietest)
}

// refusal says why a worker can't be admitted, if anything.
func (m *Machine) refusal(e Joined) string {
	switch {
	case e.Version != m.config.Version:
		return fmt.Sprintf("the worker is version %s, the coordinator %s; install the same on both", e.Version, m.config.Version)
	case e.Build != m.config.Build:
		return fmt.Sprintf("the worker is build %s, the coordinator %s, and they would not compute the same bits; install the same on both", short(e.Build), short(m.config.Build))
	case m.find(e.Worker) != nil:
		return "a worker of this name has joined already"
	}
	return ""
}

// adopt waits for the members of the generation that a former leader made. When
// all are back in it, nothing has happened.
func (m *Machine) adopt() []Effect {
	members := slices.Collect(m.members())
	waited := m.now.Sub(m.since)
	fresh := len(m.workers) - len(members)
	switch {
	case len(members) == len(m.generation.Members):
		for _, w := range members {
			if !w.ready {
				return m.halt("a member left its ring while there was no coordinator")
			}
		}
		m.enter(training, fmt.Sprintf("a new coordinator found all %d members of generation %d at work", len(members), m.generation.Number))
		if m.stopping != "" {
			return m.yield(m.stopping, true)
		}
		if reason := m.outdated(); reason != "" {
			return m.yield(reason, false)
		}
	case waited < m.config.AdoptPatience && (fresh < m.config.Workers || waited < m.config.Silence.Min):
	case len(members) > 0:
		reason := fmt.Sprintf("%d of the %d members of generation %d did not come back within %s",
			len(m.generation.Members)-len(members), len(m.generation.Members), m.generation.Number, m.config.AdoptPatience)
		effects := m.halt(reason)
		return append(effects, m.orphaned(reason)...)
	default:
		m.enter(waiting, "waiting for workers")
		return m.enough()
	}
	return nil
}

// outdated says so where the generation trains by other settings than this
// coordinator was started with.
func (m *Machine) outdated() string {
	g := m.generation
	switch {
	case g.LastStep != m.config.Steps && g.LastStep > g.StartStep:
		return fmt.Sprintf("the run has %d steps now, not %d", m.config.Steps, g.LastStep)
	case g.CheckpointEvery != m.config.CheckpointEvery:
		return fmt.Sprintf("checkpoints are due every %d steps now, not every %d", m.config.CheckpointEvery, g.CheckpointEvery)
	}
	return ""
}
