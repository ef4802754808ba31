package core

import (
	"fmt"
)

// positioned takes in where a worker stands.
func (m *Machine) positioned(e Positioned) []Effect {
	w := m.find(e.Worker)
	if w == nil || e.Position.Training {
		return nil
	}
	if w.member && m.phase != adopting && w.halted.IsZero() && e.Position.Generation != m.generation.Number {
		return nil // of a generation that it has left since
	}
	w.life.heard(m.now)
	w.position = &e.Position
	w.ready = m.phase == forming && e.Position.Broke == ""
	if !w.member {
		return nil
	}
	p := e.Position
	switch {
	case p.Broke != "":
		var effects []Effect
		if p.Generation == m.generation.Number { // or else its ranks are others'
			effects = m.complain(w.id, p)
		}
		if m.phase == ended || m.find(e.Worker) == nil {
			return effects
		}
		return append(effects, m.left(e.Worker, p)...)
	case m.phase == training:
		// It has done all that the generation was for, and so have or will the others.
		m.complete(p.Step)
	}
	return nil
}

// complete waits for the other members of a generation of which one has done all
// that it was for.
func (m *Machine) complete(step uint64) {
	m.enter(changing, fmt.Sprintf("step %d is complete", step))
	m.change, m.yielding, m.saves = []string{m.reason}, true, false
}

// regroup makes the next generation of the workers that are in no ring. The
// members of the current one have all said where they stand.
func (m *Machine) regroup() []Effect {
	if effects, hold := m.differing(); hold {
		return effects
	}
	var stayers, leavers []*worker
	for _, w := range m.workers {
		switch {
		case !w.available || w.position == nil:
		case w.leaving != "":
			leavers = append(leavers, w)
		default:
			stayers = append(stayers, w)
		}
	}
	all := append(append([]*worker{}, stayers...), leavers...)
	step, live := m.newest(all)
	if m.yielding && m.saves {
		m.asked = step
	}
	if m.stopping != "" && !live && m.returning() {
		return m.linger()
	}
	if m.stopping != "" || step >= m.config.Steps {
		return m.conclude(all, step, live)
	}
	if len(leavers) == 0 {
		return m.orPause(stayers, step, live)
	}
	if has(stayers, step) || !live {
		effects := m.let(leavers)
		return append(effects, m.orPause(m.staying(), step, live)...)
	}
	// Those who leave are the only ones that have the state.
	if len(stayers) >= m.config.MinWorkers {
		return m.form(all, step, live, m.config.Steps)
	}
	if step > m.published {
		return m.save(all, step)
	}
	effects := m.let(leavers)
	return append(effects, m.orPause(m.staying(), m.published, false)...)
}

// newest is the newest step that a worker has the state of, and whether one has:
// otherwise the state is the newest checkpoint's, or the initial one.
func (m *Machine) newest(workers []*worker) (step uint64, live bool) {
	for _, w := range workers {
		if w.position.HasState && (!live || w.position.Step > step) {
			step, live = w.position.Step, true
		}
	}
	if !live || step < m.published {
		return m.published, false
	}
	return step, true
}

// has says whether one of the workers has the state after a step.
func has(workers []*worker, step uint64) bool {
	for _, w := range workers {
		if w.position.HasState && w.position.Step == step {
			return true
		}
	}
	return false
}

// let lets workers go that asked to leave.
func (m *Machine) let(leavers []*worker) []Effect {
	var effects []Effect
	var left []Dismiss
	for _, w := range leavers {
		left = append(left, Dismiss{Worker: w.id, OK: true, Reason: "it left as it asked to: " + w.leaving})
	}
	for _, d := range left {
		m.remove(d.Worker)
		effects = append(effects, d)
	}
	return append(effects, m.orphaned("a worker left")...)
}

func (m *Machine) staying() []*worker {
	var stayers []*worker
	for _, w := range m.workers {
		if w.available && w.position != nil && w.leaving == "" {
			stayers = append(stayers, w)
		}
	}
	return stayers
}

// orPause forms a generation, or pauses where there are too few workers for it.
func (m *Machine) orPause(workers []*worker, step uint64, live bool) []Effect {
	if len(workers) < m.config.MinWorkers || len(workers) == 0 {
		m.disband()
		if m.phase == paused {
			return nil
		}
		reason := fmt.Sprintf("paused after step %d", step)
		if !live {
			reason = fmt.Sprintf("paused, and nobody has the state, so the run is back at step %d", step)
		}
		reason += fmt.Sprintf(": %s left, and it takes %d", plural(len(workers), "worker is", "workers are"), max(1, m.config.MinWorkers))
		if why := m.why(); why != "" {
			reason += ": " + why
		}
		m.hearing = m.zero()
		m.enter(paused, reason)
		return []Effect{Note{m.reason + "; the run goes on when workers join"}}
	}
	return m.form(workers, step, live, m.config.Steps)
}

// disband makes nobody a member.
func (m *Machine) disband() {
	for _, w := range m.workers {
		w.member, w.ready = false, false
	}
}

// newestGeneration is the number of the newest generation that anybody here knows of. A worker may have
// been in a newer one than this coordinator was told of, and takes no older one.
func (m *Machine) newestGeneration() uint64 {
	n := m.generation.Number
	for _, w := range m.workers {
		if w.position != nil {
			n = max(n, m.believed(w.position.Generation))
		}
	}
	return n
}

// mostUnknown is how many generations a run may have had that this coordinator was not told of.
const mostUnknown = 1 << 20

// believed is the number of a generation that a worker says it was in; one that can't be, of
// a machine with bad memory, must not use up the numbers.
func (m *Machine) believed(number uint64) uint64 {
	if number > m.generation.Number+mostUnknown {
		return 0
	}
	return number
}

// form makes a generation that trains from step until last.
func (m *Machine) form(workers []*worker, step uint64, live bool, last uint64) []Effect {
	m.noteDue(step)
	reason := m.why()
	m.change, m.echo = nil, ""
	workers = m.order(workers)
	if idle := len(workers) - m.config.Shards; idle > 0 {
		reason += fmt.Sprintf("; a step has %s, so %s nothing", plural(m.config.Shards, "shard", "shards"), plural(idle, "worker computes", "workers compute"))
	}
	g := Generation{
		Number: m.newestGeneration() + 1, Reason: reason,
		StartStep: step, LastStep: last, CheckpointEvery: m.config.CheckpointEvery,
		Members: make([]Member, len(workers)),
	}
	rates, held := make([]float64, len(workers)), make([][]int, len(workers))
	for i, w := range workers {
		rates[i] = w.rate
		if w.leaving != "" {
			rates[i] = -1
		}
		g.Members[i] = Member{Worker: w.id, Address: w.address}
		if live {
			held[i] = stand(&g.Members[i], *w.position, step)
		}
	}
	switch {
	case live:
		g.Source = FromMembers
		g.SaveAtStart = step > m.published && (last == step || m.owed(step))
		lackWhole(g.Members)
	case m.hasCheckpoint:
		g.Source = FromCheckpoint
	}
	m.choose(&g, workers)
	m.deal(g.Members, rates, held)
	m.disband()
	for _, w := range workers {
		w.member = true
	}
	m.generation, m.persisted, m.adopted, m.hearing = g, false, false, m.zero()
	m.enter(forming, reason)
	return []Effect{Persist{g}}
}

// stand sets what a member lacks at the start of a step, and returns the shards
// that it holds there.
func stand(member *Member, p Position, step uint64) (held []int) {
	switch {
	case p.HasState && p.Step == step:
		member.HasGradient = p.HasGradient
		return p.Shards
	case p.HasState && p.Step+1 == step:
		member.Lack = LackGradient
	default:
		member.Lack = LackState
	}
	return nil
}

// lackWhole makes those who lack a gradient that nobody has lack the whole state.
func lackWhole(members []Member) {
	for _, member := range members {
		if member.HasGradient {
			return
		}
	}
	for i := range members {
		if members[i].Lack == LackGradient {
			members[i].Lack = LackState
		}
	}
}

// assign tells the members of a generation that is in etcd now.
func (m *Machine) assign(generation uint64) []Effect {
	if m.phase != forming || m.persisted || generation != m.generation.Number {
		return nil
	}
	m.persisted = true
	var effects []Effect
	m.forgetSavings()
	m.savings = append(m.savings, savingsOf(m.generation))
	for rank, member := range m.generation.Members {
		w := m.find(member.Worker)
		w.position, w.halted, w.ready = nil, m.zero(), false
		effects = append(effects, Assign{member.Worker, rank, m.generation})
	}
	return effects
}
