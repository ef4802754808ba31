package core

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// TestInvariants plays lives that nobody wrote: events in any order, stale, twice,
// too early, too late. Whatever happens, what law checks must hold.
func TestInvariants(t *testing.T) {
	lives := 600
	if testing.Short() {
		lives = 100
	}
	first := rand.Uint64()
	ends := map[bool]int{}
	for i := range lives {
		seed := first + uint64(i)
		l := newLaw(seed)
		if err := l.live(); err != nil {
			t.Fatalf("seed %d: %v\n%s", seed, err, l.story())
		}
		if again := newLaw(seed); again.live() != nil || again.story() != l.story() {
			t.Fatalf("seed %d: the same events have other effects the second time", seed)
		}
		ends[l.end.OK]++
	}
	if ends[true] < lives/20 || ends[false] < lives/20 {
		t.Errorf("seed %d: %d lives end well and %d badly; the events are too one-sided to check anything", first, ends[true], ends[false])
	}
}

// law holds what is known of a life, from its events and effects alone.
type law struct {
	random *rand.Rand
	config Config
	m      *Machine
	now    time.Time
	lines  []string

	joined    int
	members   []string // admitted and not dismissed, in order
	persist   *Generation
	persisted bool
	assigned  map[string]bool
	readied   map[string]bool
	begun     map[string]bool
	// saved are the digests by step and worker, as the generation's members said
	// them while they trained.
	saved     map[uint64]map[string]string
	last      map[uint64]bool
	published map[uint64]string // asked for
	pending   []uint64          // asked for and not answered
	done      map[uint64]bool   // answered
	stopAt    uint64            // the step that random members end after, once it is known
	end       *End
}

func newLaw(seed uint64) *law {
	r := rand.New(rand.NewPCG(seed, 0))
	workers := 1 + r.IntN(5)
	c := Config{
		Workers: workers, MinWorkers: 1 + r.IntN(workers), Patience: 30 * time.Second,
		Shards: 1 + r.IntN(12), Generation: uint64(r.IntN(5)), Silence: 15 * time.Second,
		Version: "v1", Build: "sha256:aaaa",
	}
	if r.IntN(2) == 0 {
		c.StartStep, c.FromCheckpoint = uint64(1+r.IntN(50)), true
	}
	return &law{
		random: r, config: c, m: New(c), now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
		assigned: map[string]bool{}, readied: map[string]bool{}, begun: map[string]bool{},
		saved: map[uint64]map[string]string{}, last: map[uint64]bool{},
		published: map[uint64]string{}, done: map[uint64]bool{},
	}
}

func (l *law) story() string {
	text := fmt.Sprintf("%+v\n", l.config)
	for _, line := range l.lines {
		text += line + "\n"
	}
	return text
}

// live plays random events until some time after the end. A life that does not end
// by itself ends by silence.
func (l *law) live() error {
	for range 400 {
		if err := l.give(l.event()); err != nil {
			return err
		}
	}
	for range 40 {
		l.now = l.now.Add(5 * time.Second)
		if err := l.give(Tick{}); err != nil {
			return err
		}
		for len(l.pending) > 0 {
			if err := l.give(Published{l.pending[0]}); err != nil {
				return err
			}
		}
	}
	if l.end == nil && len(l.members) > 0 {
		return fmt.Errorf("%v were silent for minutes, and the run has not ended", l.members)
	}
	if l.end == nil {
		return l.give(StopRequested{"enough"})
	}
	return nil
}

// event makes up something that can happen: mostly what should come next, and now
// and then anything at all.
func (l *law) event() Event {
	r := l.random
	someone := func() string {
		if len(l.members) == 0 || r.IntN(20) == 0 {
			return fmt.Sprintf("w%d", r.IntN(8))
		}
		return l.members[r.IntN(len(l.members))]
	}
	number := l.config.Generation + 1
	if r.IntN(20) == 0 {
		number += uint64(r.IntN(3)) - 1
	}
	switch n := r.IntN(1000); {
	case n < 120:
		return l.join(someone)
	case n < 300:
		return Heard{someone()}
	case n < 400:
		return Persisted{number}
	case n < 560:
		return Ready{someone(), number}
	case n < 900:
		return l.part(someone(), number)
	case n < 985:
		if len(l.pending) > 0 && r.IntN(10) > 0 {
			return Published{l.pending[r.IntN(len(l.pending))]}
		}
		l.now = l.now.Add(time.Duration(r.IntN(8000)) * time.Millisecond)
		return Tick{}
	case n < 988:
		return Left{someone(), "left"}
	case n < 991:
		return Failed{Worker: someone(), Reason: "failed", Consequence: r.IntN(2) == 0}
	case n < 992:
		return Broken{"broken"}
	case n < 996:
		return StopRequested{"stop"}
	default:
		return Published{l.config.StartStep + uint64(r.IntN(100))}
	}
}

func (l *law) join(someone func() string) Event {
	j := Joined{Worker: someone(), Address: "a:1", Version: "v1", Build: "sha256:aaaa"}
	switch l.random.IntN(12) {
	case 0:
		j.Version = "v2"
	case 1:
		j.Build = "sha256:bbbb"
	case 2: // perhaps a name that is taken
	default:
		l.joined++
		j.Worker = fmt.Sprintf("n%d", l.joined)
	}
	return j
}

// part is a member's part of the checkpoint that is due, seldom of another one.
func (l *law) part(worker string, generation uint64) Event {
	r := l.random
	due := l.config.StartStep + 10*uint64(len(l.published)+1)
	if l.stopAt != 0 && due > l.stopAt || l.saved[due][worker] != "" && r.IntN(30) > 0 {
		return Heard{worker}
	}
	if l.stopAt == 0 && r.IntN(40) == 0 {
		l.stopAt = due
	}
	e := Saved{Worker: worker, Generation: generation, Step: due, Digest: "d", Loss: 1}
	e.Last = e.Step == l.stopAt
	switch r.IntN(400) {
	case 0:
		e.Digest = "e"
	case 1:
		e.Step -= uint64(10 * r.IntN(2))
	case 2:
		e.Step += 10
	}
	return e
}

// give gives one event to the machine and holds the effects against the law.
func (l *law) give(e Event) error {
	l.lines = append(l.lines, fmt.Sprintf("> %T%+v", e, e))
	l.note(e)
	for _, effect := range l.m.Step(l.now, e) {
		l.lines = append(l.lines, fmt.Sprintf("    %T%+v", effect, effect))
		if err := l.check(effect); err != nil {
			return fmt.Errorf("%w, by %T%+v", err, effect, effect)
		}
	}
	return nil
}

// note takes down what an event means, if the machine may believe it.
func (l *law) note(e Event) {
	switch e := e.(type) {
	case Persisted:
		l.persisted = l.persisted || l.persist != nil && l.persist.Number == e.Generation
	case Ready:
		if l.assigned[e.Worker] && e.Generation == l.persist.Number {
			l.readied[e.Worker] = true
		}
	case Saved:
		if !l.begun[e.Worker] || e.Generation != l.persist.Number {
			return
		}
		if l.saved[e.Step] == nil {
			l.saved[e.Step] = map[string]string{}
		}
		l.saved[e.Step][e.Worker] = e.Digest
		l.last[e.Step] = l.last[e.Step] || e.Last
	case Published:
		if i := slices.Index(l.pending, e.Step); i >= 0 {
			l.pending = slices.Delete(l.pending, i, i+1)
			l.done[e.Step] = true
		}
	}
}

// check says which law an effect breaks.
func (l *law) check(effect Effect) error {
	if _, ok := effect.(Refuse); ok {
		return nil
	}
	if l.end != nil {
		return fmt.Errorf("something happens after the end")
	}
	switch e := effect.(type) {
	case Admit:
		if l.persist != nil || len(l.members) == l.config.Workers || slices.Contains(l.members, e.Worker) {
			return fmt.Errorf("a worker is admitted that has no place")
		}
		l.members = append(l.members, e.Worker)
	case Dismiss:
		i := slices.Index(l.members, e.Worker)
		if i < 0 {
			return fmt.Errorf("a worker is dismissed that is not there")
		}
		l.members = slices.Delete(l.members, i, i+1)
		return sentence(e.Reason)
	case Persist:
		return l.checkGeneration(e.Generation)
	case Assign:
		if !l.persisted || l.assigned[e.Worker] || l.persist.Members[e.Rank].Worker != e.Worker {
			return fmt.Errorf("a member hears of a generation that is not persisted, twice, or by another's rank")
		}
		l.assigned[e.Worker] = true
	case Begin:
		if len(l.readied) < len(l.persist.Members) || l.begun[e.Worker] {
			return fmt.Errorf("a member begins twice or before all are ready")
		}
		l.begun[e.Worker] = true
	case Stop:
		if !l.begun[e.Worker] {
			return fmt.Errorf("a member is asked to stop that has not begun")
		}
	case Publish:
		return l.checkPublish(e)
	case End:
		return l.checkEnd(e)
	}
	return nil
}

func (l *law) checkGeneration(g Generation) error {
	if l.persist != nil {
		return fmt.Errorf("a second generation")
	}
	l.persist = &g
	if g.Number != l.config.Generation+1 || len(g.Members) < l.config.MinWorkers || len(g.Members) != len(l.members) {
		return fmt.Errorf("a generation of another number or with too few members")
	}
	next, most, least := 0, 0, l.config.Shards
	for i, m := range g.Members {
		if m.Worker != l.members[i] || m.FirstShard != next {
			return fmt.Errorf("shards are dealt out of order")
		}
		next += m.Shards
		most, least = max(most, m.Shards), min(least, m.Shards)
	}
	if next != l.config.Shards || most-least > 1 {
		return fmt.Errorf("shards are dealt unevenly or not all")
	}
	return sentence(g.Reason)
}

func (l *law) checkPublish(e Publish) error {
	if _, twice := l.published[e.Step]; twice || e.Step <= l.config.StartStep {
		return fmt.Errorf("a step is published twice")
	}
	for _, m := range l.persist.Members {
		if l.saved[e.Step][m.Worker] != e.Digest {
			return fmt.Errorf("a step is published that %s has not saved with this digest", m.Worker)
		}
	}
	l.published[e.Step] = e.Digest
	l.pending = append(l.pending, e.Step)
	return nil
}

func (l *law) checkEnd(e End) error {
	l.end = &e
	newest := l.config.StartStep
	for step := range l.done {
		newest = max(newest, step)
	}
	switch {
	case len(l.members) > 0:
		return fmt.Errorf("%v are left when the run ends", l.members)
	case e.Step != newest:
		return fmt.Errorf("the newest published step is %d", newest)
	case e.OK && (!l.done[e.Step] || !l.last[e.Step] || e.Digest != l.published[e.Step]):
		return fmt.Errorf("the run ends well without its last step")
	}
	return sentence(e.Reason)
}

// sentence says whether people are told something.
func sentence(reason string) error {
	if len(reason) < 10 {
		return fmt.Errorf("%q is no reason", reason)
	}
	return nil
}
