package core

import (
	"fmt"
	"slices"
	"time"
)

// Config is what a run's machine is made of.
type Config struct {
	// Workers is how many the run waits for; with MinWorkers of them it begins
	// once nobody has joined for Patience.
	Workers, MinWorkers int
	Patience            time.Duration
	// Shards counts the shards of a step.
	Shards int
	// Steps is how many the run is to have.
	Steps uint64
	// StartStep counts the steps that are complete, FromCheckpoint says that their
	// state is in the Store.
	StartStep      uint64
	FromCheckpoint bool
	// Generation is the number of the last one that this run had.
	Generation uint64
	// Version and Build are the coordinator's: a worker has the same.
	Version, Build string
	// Silence is how long a worker may give no sign of life.
	Silence time.Duration
}

type phase int

const (
	waiting phase = iota
	forming
	training
	ended
)

func (p phase) String() string {
	return [...]string{"waiting", "forming", "training", "ended"}[p]
}

// worker is an admitted worker.
type worker struct {
	id, address string
	heard       time.Time
	ready       bool
}

// Machine is the state of a run.
type Machine struct {
	config Config
	phase  phase
	// workers are in the order of joining, which is ring order.
	workers []worker
	joined  time.Time // the last one
	// generation is the newest; nobody has heard of it before it is persisted.
	generation Generation
	persisted  bool
	saving     map[uint64]*saving
	// published is the newest checkpoint of this machine, or the start.
	published uint64
	// last is the step that the members end after, 0 until one of them says it.
	last     uint64
	stopping string
	// failure is the first Failed of a generation that is but a consequence, and
	// when: see failed.
	failure   *Failed
	failureAt time.Time
	// ticked is the last Tick.
	ticked time.Time
	end    End
}

// causeLimit is how long a failure waits for its cause.
const causeLimit = 3 * time.Second

// New returns the machine of a run that waits for its workers.
func New(c Config) *Machine {
	return &Machine{
		config: c, saving: map[uint64]*saving{},
		generation: Generation{Number: c.Generation},
		published:  c.StartStep,
	}
}

// Generation returns the newest generation and whether it is persisted.
func (m *Machine) Generation() (Generation, bool) { return m.generation, m.persisted }

// Phase names where the run is: waiting, forming, training or ended.
func (m *Machine) Phase() string { return m.phase.String() }

// Step takes one event and returns what to do about it, in order.
func (m *Machine) Step(now time.Time, e Event) []Effect {
	if m.phase == ended {
		if j, ok := e.(Joined); ok {
			return []Effect{Refuse{j.Worker, "the run has ended: " + m.end.Reason}}
		}
		return nil
	}
	m.hear(now, e)
	switch e := e.(type) {
	case Joined:
		return m.join(now, e)
	case Left:
		return m.lose(e.Worker, "was lost: "+e.Reason)
	case Failed:
		return m.failed(now, e)
	case Persisted:
		return m.assign(e.Generation)
	case Ready:
		return m.ready(e)
	case Saved:
		return m.saved(e)
	case Published:
		return m.publishedStep(e.Step)
	case Broken:
		return m.fail("the coordinator can't go on: " + e.Reason)
	case StopRequested:
		return m.stop(e.Reason)
	case Tick:
		return m.tick(now)
	}
	return nil
}

// hear notes a worker's sign of life.
func (m *Machine) hear(now time.Time, e Event) {
	id := ""
	switch e := e.(type) {
	case Heard:
		id = e.Worker
	case Ready:
		id = e.Worker
	case Saved:
		id = e.Worker
	}
	if w := m.find(id); w != nil {
		w.heard = now
	}
}

func (m *Machine) find(id string) *worker {
	for i := range m.workers {
		if m.workers[i].id == id {
			return &m.workers[i]
		}
	}
	return nil
}

func (m *Machine) join(now time.Time, e Joined) []Effect {
	if reason := m.refusal(e); reason != "" {
		return []Effect{Refuse{e.Worker, reason}}
	}
	m.workers = append(m.workers, worker{id: e.Worker, address: e.Address, heard: now})
	m.joined = now
	effects := []Effect{Admit{e.Worker}}
	if len(m.workers) == m.config.Workers {
		return append(effects, m.form(fmt.Sprintf("all %d workers have joined", m.config.Workers))...)
	}
	return effects
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
	case m.phase != waiting:
		return fmt.Sprintf("the run has its %d workers; stop it and start it with --workers %d to have one more", len(m.workers), len(m.workers)+1)
	}
	return ""
}

// form makes the next generation of the workers that are there.
func (m *Machine) form(reason string) []Effect {
	m.phase = forming
	if idle := len(m.workers) - m.config.Shards; idle > 0 {
		reason += fmt.Sprintf("; a step has %d shards, so %d of them compute nothing", m.config.Shards, idle)
	}
	m.generation = Generation{
		Number:         m.generation.Number + 1,
		Members:        deal(m.config.Shards, m.workers),
		StartStep:      m.config.StartStep,
		FromCheckpoint: m.config.FromCheckpoint,
		Reason:         reason,
	}
	m.persisted = false
	return []Effect{Persist{m.generation}}
}

func (m *Machine) assign(generation uint64) []Effect {
	if m.phase != forming || m.persisted || generation != m.generation.Number {
		return nil
	}
	m.persisted = true
	effects := make([]Effect, len(m.generation.Members))
	for rank, member := range m.generation.Members {
		effects[rank] = Assign{member.Worker, rank, m.generation}
	}
	return effects
}

func (m *Machine) ready(e Ready) []Effect {
	w := m.find(e.Worker)
	if w == nil || m.phase != forming || !m.persisted || e.Generation != m.generation.Number {
		return nil
	}
	w.ready = true
	if slices.ContainsFunc(m.workers, func(w worker) bool { return !w.ready }) {
		return nil
	}
	m.phase = training
	var effects []Effect
	for _, w := range m.workers {
		effects = append(effects, Begin{w.id, m.generation.Number})
	}
	if m.stopping != "" {
		effects = append(effects, m.askToStop()...)
	}
	return effects
}

// lose ends the run, since this version does not go on without a member. Where
// all parts of the last checkpoint are stored nobody needs the members any more.
func (m *Machine) lose(id, what string) []Effect {
	if m.find(id) == nil {
		return nil
	}
	if m.failure != nil && m.failure.Worker == id {
		what = failedOf(*m.failure)
	}
	if m.phase == waiting || m.complete() {
		m.workers = slices.DeleteFunc(m.workers, func(w worker) bool { return w.id == id })
		return []Effect{Dismiss{id, false, "the worker " + what}}
	}
	return m.fail(fmt.Sprintf("worker %s %s", id, what))
}

// failed takes it that a member can't go on. Neighbours of a member that died fail
// too, and may say so before its session is seen to break: after such a
// consequence the run waits a moment for the one that is to blame.
func (m *Machine) failed(now time.Time, e Failed) []Effect {
	if m.find(e.Worker) == nil {
		return nil
	}
	if m.phase == waiting || !e.Consequence {
		return m.lose(e.Worker, failedOf(e))
	}
	if m.failure == nil {
		m.failure, m.failureAt = &e, now
	}
	return nil
}

func failedOf(e Failed) string { return "failed: " + e.Reason }

// fail ends the run without its last step.
func (m *Machine) fail(reason string) []Effect {
	if m.phase != waiting {
		reason += fmt.Sprintf(" (generation %d, %s)", m.generation.Number, m.phase)
	}
	return m.finish(End{Reason: reason, Step: m.published})
}

func (m *Machine) finish(end End) []Effect {
	m.phase, m.end = ended, end
	var effects []Effect
	for _, w := range m.workers {
		effects = append(effects, Dismiss{w.id, end.OK, end.Reason})
	}
	return append(effects, end)
}

func (m *Machine) stop(reason string) []Effect {
	if m.stopping != "" {
		return nil
	}
	m.stopping = reason
	switch m.phase {
	case waiting:
		return m.fail("stopped before training began: " + reason)
	case training:
		return m.askToStop()
	}
	return nil // members that form are asked when they begin
}

func (m *Machine) askToStop() []Effect {
	effects := make([]Effect, len(m.workers))
	for i, w := range m.workers {
		effects[i] = Stop{w.id, m.stopping}
	}
	return effects
}

// tick notices what happens by time alone.
func (m *Machine) tick(now time.Time) []Effect {
	m.excuse(now)
	for _, w := range m.workers {
		if silent := now.Sub(w.heard); silent > m.config.Silence {
			return m.lose(w.id, fmt.Sprintf("was lost: it has been silent for %s", silent.Round(time.Second)))
		}
	}
	if m.failure != nil && now.Sub(m.failureAt) >= causeLimit {
		return m.lose(m.failure.Worker, "")
	}
	n := len(m.workers)
	if m.phase == waiting && n >= m.config.MinWorkers && now.Sub(m.joined) >= m.config.Patience && n > 0 {
		return m.form(fmt.Sprintf("%d of %d workers have joined, at least --min-workers %d, and nobody else for %s",
			n, m.config.Workers, m.config.MinWorkers, m.config.Patience))
	}
	return nil
}

// excuse blames nobody for a time in which the coordinator itself stood still:
// what the workers said meanwhile is still to be heard.
func (m *Machine) excuse(now time.Time) {
	if !m.ticked.IsZero() && now.Sub(m.ticked) > m.config.Silence/2 {
		for i := range m.workers {
			m.workers[i].heard = now
		}
		m.failureAt = now
	}
	m.ticked = now
}
