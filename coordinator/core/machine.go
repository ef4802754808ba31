package core

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ddpm-cluster/ddpm-cluster/allreduce/choice"
)

// Config is what a run's machine is made of.
type Config struct {
	// Workers is how many the run waits for at first; with MinWorkers of them it
	// begins once nobody has joined for Patience. With fewer it pauses.
	Workers, MinWorkers int
	Patience            time.Duration
	// Shards counts the shards of a step, Groups the groups that they are in; 0: none.
	Shards, Groups int
	// Steps is how many the run is to have.
	Steps uint64
	// CheckpointEvery is in steps; 0: only at the end.
	CheckpointEvery uint64
	// StartStep is the newest checkpoint's, if HasCheckpoint, or else 0.
	StartStep     uint64
	HasCheckpoint bool
	// Last is the newest generation that this run had. With Adopt its members may
	// still train: the machine waits for them, AdoptPatience at most.
	Last          Generation
	Adopt         bool
	AdoptPatience time.Duration
	// Version and Build are the coordinator's: a worker has the same.
	Version, Build string
	// Heartbeat is how often a worker gives a sign of life in a small run; see
	// Machine.heartbeat for a large one.
	Heartbeat time.Duration
	Silence   Silence
	// MaxSkipped steps in a row whose gradient overflowed end the run; 0: never.
	MaxSkipped int
	// Elems is how many the gradient has; 0: nothing is chosen of how it is summed.
	Elems int
}

type phase int

const (
	waiting phase = iota
	adopting
	forming
	training
	changing
	saving
	paused
	ended
)

func (p phase) String() string {
	return [...]string{"waiting", "adopting", "forming", "training", "changing", "saving", "paused", "ended"}[p]
}

// worker is an admitted worker.
type worker struct {
	id, address string
	life        liveness
	rate        float64
	link        choice.Link
	// apart says that it shares no memory with others of its host.
	apart bool
	// available says that it has opened the run.
	available bool
	// leaving is why it asked to leave.
	leaving string
	// member says that it is in the current generation, and ready that it trains
	// there.
	member, ready bool
	// position is where it stands outside of any ring; nil while it trains.
	position *Position
	// halted is when it was asked for its position at once; zero: it was not.
	halted time.Time
	// asked says that it gives signs of life when it is asked.
	asked bool
}

// unsaved says that it stands with a state that is newer than the checkpoint of step published.
func (w *worker) unsaved(published uint64) bool {
	return w.position != nil && w.position.HasState && w.position.Step > published
}

// pending says that it was asked where it stands, and has not said so yet.
func (w *worker) pending() bool { return !w.halted.IsZero() && w.position == nil }

// Machine is the state of a run.
type Machine struct {
	config Config
	phase  phase
	reason string
	now    time.Time
	since  time.Time // the phase began
	ticked time.Time
	// workers are in ring order, which is that of joining but for those who did not
	// reach each other.
	workers []*worker
	// byID finds them: there may be thousands, and each says something every second.
	byID   map[string]*worker
	joined time.Time // the last one
	// generation is the newest; nobody has heard of it before it is persisted.
	generation Generation
	persisted  bool
	// adopted says that a coordinator before this one assigned it, and may have asked
	// its members for something that this one does not know of.
	adopted bool
	// change is why the members leave their ring; echo is what the neighbours of a
	// lost one say of it, and the reason where there is no other. yielding: they
	// leave at a step boundary; saves: with a checkpoint.
	change          []string
	echo            string
	yielding, saves bool
	// hearing is since when members say by themselves that their weights differ; zero:
	// nobody has.
	hearing time.Time
	// wanted is since when there has been a reason to change at a boundary.
	wanted time.Time
	// uneven is since when another deal would have been better; compared is when deals
	// were last compared, and better what came of it.
	uneven, compared time.Time
	better           string
	// looked is when all workers' silences were last looked at.
	looked time.Time
	// polled is when the members were last asked for signs of life, polledOthers when the
	// others were, proven when a step was last known to be complete, for which each member
	// has to have lived.
	polled, polledOthers, proven time.Time

	savings []*savings
	// published is the newest checkpoint's step, hasCheckpoint that there is one.
	published     uint64
	hasCheckpoint bool
	closing       *Publish // the one of published, if it was published here
	// asked is the step at whose end the members were asked for a checkpoint.
	asked uint64
	// idleAt is the step at which the members wait for a checkpoint, retry when that
	// is tried again.
	idleAt uint64
	retry  time.Time

	stopping string
	// lost is when a worker was last lost that may come back with a state.
	lost     time.Time
	troubles troubles
	// apart are workers of which the first did not reach the second, unreached when a
	// worker was taken out for that.
	apart     map[[2]string]bool
	unreached map[string]time.Time
	end       End
}

// New returns the machine of a run that waits for its workers.
func New(c Config) *Machine {
	m := &Machine{
		config: c, generation: c.Last, persisted: true, byID: map[string]*worker{},
		published: c.StartStep, hasCheckpoint: c.HasCheckpoint,
		reason: "waiting for workers",
	}
	if c.Adopt && len(c.Last.Members) > 0 {
		m.phase, m.adopted = adopting, true
		m.savings = []*savings{savingsOf(c.Last)}
		m.reason = fmt.Sprintf("a new coordinator waits for the %d members of generation %d", len(c.Last.Members), c.Last.Number)
	}
	return m
}

// Generation returns the newest generation and whether it is persisted.
func (m *Machine) Generation() (Generation, bool) { return m.generation, m.persisted }

// Phase names where the run is.
func (m *Machine) Phase() string { return m.phase.String() }

// Reason says why it is there, as a sentence.
func (m *Machine) Reason() string { return m.reason }

// Step takes one event and returns what to do about it, in order.
func (m *Machine) Step(now time.Time, e Event) []Effect {
	if m.phase == ended {
		if j, ok := e.(Joined); ok {
			return []Effect{Refuse{j.Worker, "the run has ended: " + m.end.Reason}}
		}
		return nil
	}
	m.now = now
	if m.since.IsZero() {
		m.since, m.ticked = now, now
	}
	effects := m.event(e)
	switch e.(type) {
	case Heard:
		return effects // what a rate or the time leads to waits for the next Tick
	case Tick:
		if m.calm() {
			return effects
		}
	}
	if m.phase != ended {
		effects = append(effects, m.consider()...)
	}
	return effects
}

// event takes in what an event says.
func (m *Machine) event(e Event) []Effect {
	switch e := e.(type) {
	case Joined:
		return m.join(e)
	case Left:
		return m.lose(e.Worker, "was lost: "+e.Reason)
	case Failed:
		return m.expel(e.Worker, "failed: "+e.Reason, false)
	case Persisted:
		return m.assign(e.Generation)
	case Positioned:
		return m.positioned(e)
	case Progressed:
		return m.progressed(e)
	case Saved:
		return m.partSaved(e)
	case SaveFailed:
		return m.saveFailed(e)
	case Published:
		return m.publishedStep(e)
	case PublishFailed:
		return m.publishFailed(e)
	case Unreadable:
		return m.unreadable(e)
	case Broken:
		return m.fail("the coordinator can't go on: " + e.Reason)
	case StopRequested:
		return m.stop(e.Reason)
	case Tick:
		return m.tick()
	case Overflowed:
		m.troubles.overflow = fmt.Sprintf("%s, computed by worker %s", e.What, e.Worker)
	}
	m.hear(e)
	return nil
}

// hear takes in what a worker says of itself.
func (m *Machine) hear(e Event) {
	switch e := e.(type) {
	case Heard:
		if w := m.find(e.Worker); w != nil {
			w.life.heard(m.now)
			if e.Rate > 0 {
				w.rate = e.Rate
			}
			w.measured(e.Link)
			w.apart = w.apart || e.Apart
		}
	case Available:
		if w := m.find(e.Worker); w != nil && !w.available {
			w.available, w.position = true, &Position{Unreachable: -1}
		}
	case Ready:
		if w := m.find(e.Worker); w != nil && w.member && m.persisted && e.Generation == m.generation.Number {
			w.ready = true
		}
	case Leaving:
		if w := m.find(e.Worker); w != nil {
			w.leaving = e.Reason
		}
	}
}

// find returns the worker of a name, nil where there is none.
func (m *Machine) find(id string) *worker {
	return m.byID[id]
}

// enter begins a phase.
func (m *Machine) enter(p phase, reason string) {
	m.phase, m.reason, m.since = p, reason, m.now
	m.wanted, m.uneven, m.compared, m.better = time.Time{}, time.Time{}, time.Time{}, ""
}

// zero is no time.
func (m *Machine) zero() time.Time { return time.Time{} }

// remove takes a worker out of the run.
func (m *Machine) remove(id string) {
	m.workers = slices.DeleteFunc(m.workers, func(w *worker) bool { return w.id == id })
	delete(m.byID, id)
}

// lose takes a worker out that is gone or can't go on, and ends the generation
// that it was in.
func (m *Machine) lose(id, what string) []Effect { return m.expel(id, what, true) }

// expel takes a worker out that may not come back, unless again says so.
func (m *Machine) expel(id, what string, again bool) []Effect {
	w := m.find(id)
	if w == nil {
		return nil
	}
	member := w.member
	if again && (member || w.unsaved(m.published)) {
		m.lost = m.now
	}
	m.remove(id)
	what = fmt.Sprintf("worker %s %s", id, what)
	effects := []Effect{Dismiss{Worker: id, Reason: what, Again: again}}
	effects = append(effects, m.orphaned(what)...)
	if member {
		m.troubles.breaks = 0 // a ring of fewer may hold
		effects = append(effects, m.halt(what)...)
	}
	return effects
}

// halt makes the members leave their ring at once.
func (m *Machine) halt(reason string) []Effect {
	switch m.phase {
	case forming, training, adopting:
		m.enter(changing, reason)
		m.change, m.echo = nil, ""
	case changing:
	default:
		m.change = append(m.change, reason)
		return nil // the members are in no ring
	}
	m.change = append(m.change, reason)
	m.reason = m.why()
	return m.askPositions()
}

// left takes in that a member left its ring unasked. One that says that the members' weights
// differ leaves in peace: the others find the same by themselves, and to halt them first would
// be to lose what they have to say of it.
func (m *Machine) left(id string, p Position) []Effect {
	reason := fmt.Sprintf("worker %s left the ring: %s", id, p.Broke)
	if m.phase == adopting && p.Differs {
		return nil // the others are still to come back, and to say the same
	}
	switch m.phase {
	case forming, training, adopting:
		m.enter(changing, reason)
		m.change, m.echo = nil, reason
	}
	if !p.Differs {
		return m.askPositions()
	}
	m.yielding = false
	if m.hearing.IsZero() {
		m.hearing = m.now
	}
	return nil
}

// why is why the members leave their ring.
func (m *Machine) why() string {
	if len(m.change) == 0 {
		return m.echo
	}
	if more := len(m.change) - named; more > 0 {
		return fmt.Sprintf("%s; and %s more", strings.Join(m.change[:named], "; "), plural(more, "reason", "reasons"))
	}
	return strings.Join(m.change, "; ")
}

// named is how many reasons are named: every member is told of them.
const named = 8

// askPositions asks the members that are in their ring to leave it.
func (m *Machine) askPositions() []Effect {
	m.yielding = false
	var effects []Effect
	for w := range m.members() {
		if w.position == nil && w.halted.IsZero() {
			w.halted = m.now
			effects = append(effects, Halt{w.id, m.generation.Number, m.reason})
		}
	}
	return effects
}

// yield makes the members leave their ring at a step boundary. Members that were
// adopted may be leaving it already, without a checkpoint: they are not asked for
// one that would be waited for.
func (m *Machine) yield(reason string, save bool) []Effect {
	save = save && !m.adopted
	m.enter(changing, reason)
	m.change, m.yielding, m.saves = []string{reason}, true, save
	var effects []Effect
	for w := range m.members() {
		effects = append(effects, Yield{w.id, m.generation.Number, reason, save})
	}
	return effects
}
