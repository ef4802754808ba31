package core

import (
	"fmt"
	"strings"
)

// differing takes out the members whose weights are not those of most of the generation,
// before what they computed has come into any weights. It holds the next generation back
// while those who could say which are right may yet come back: a generation of one that
// computes wrong alone would be believed.
func (m *Machine) differing() (effects []Effect, hold bool) {
	v := m.votes()
	switch {
	case v.told == 0:
		return nil, false
	case v.decided:
		m.hearing = m.zero()
		return append(m.takeOut(v), m.regroup()...), true
	case v.absent == 0 && v.told < len(m.generation.Members):
		// What some could not say could turn it. Nobody has completed the step, and in the next
		// ring all compare again.
		m.hearing = m.zero()
		return nil, false
	case v.absent > 0 && m.awaited():
		return nil, true
	}
	return m.fail(v.undecided()), true
}

// awaited says that who is away has not been waited for long enough, since the first said that
// weights differ, or since the last was lost.
func (m *Machine) awaited() bool {
	if m.hearing.IsZero() {
		m.hearing = m.now
	}
	since := m.hearing
	if m.lost.After(since) {
		since = m.lost
	}
	return m.now.Sub(since) < m.config.AdoptPatience
}

// votes is what the members of a generation say of their weights where these differ.
type votes struct {
	step uint64
	// told counts those who say what theirs are, absent those who are not there.
	told, absent int
	// decided says that most of all members have the weights right.
	decided bool
	right   uint64
	who     []string // who told
}

// votes counts them, of those too who have come back since they were lost.
func (m *Machine) votes() (v votes) {
	g, count := m.generation, map[uint64]int{}
	for _, member := range g.Members {
		w := m.find(member.Worker)
		if w == nil || w.position == nil || w.position.Generation != g.Number {
			v.absent++
			continue
		}
		p := w.position
		if !p.Differs {
			continue
		}
		v.told, v.step, v.who = v.told+1, p.Step, append(v.who, w.id)
		if count[p.Weights]++; 2*count[p.Weights] > len(g.Members) {
			v.decided, v.right = true, p.Weights
		}
	}
	return v
}

func (v votes) undecided() string {
	what := "worker " + v.who[0] + " holds other weights than others"
	if len(v.who) > 1 {
		what = fmt.Sprintf("workers %s hold different weights", strings.Join(v.who, ", "))
	}
	what += fmt.Sprintf(" after step %d, and no majority says which are right", v.step)
	if v.absent > 0 {
		what += fmt.Sprintf(", since %s not there", plural(v.absent, "member is", "members are"))
	}
	return what + ": look for a machine with bad memory, and start again from the newest checkpoint"
}

// takeOut expels who told other weights than most have, and forgets what the others told.
func (m *Machine) takeOut(v votes) (effects []Effect) {
	most := 0
	for _, id := range v.who {
		if w := m.find(id); w.position.Weights == v.right {
			w.position.Differs = false
			most++
		}
	}
	for _, id := range v.who {
		if w := m.find(id); w.position.Differs {
			effects = append(effects, m.expel(id, fmt.Sprintf("computes wrong: after step %d its weights are not those of %s; look at its memory",
				v.step, plural(most, "other worker", "other workers")), false)...)
		}
	}
	return effects
}
