package core

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// openLimit bounds how many checkpoints of a generation have some of their parts at
// once.
const openLimit = 16

// savings are the checkpoints on their way that the members of one generation
// save. They go on when that generation is over, as long as each member that still
// owes its part is there.
type savings struct {
	generation uint64
	members    []string // in ring order
	steps      map[uint64]*checkpoint
	// failed are the steps that a member could not store, lost those that were given up for
	// another reason.
	failed, lost map[uint64]bool
	// due is the newest step that its members were to save when they left their ring; 0: none.
	due uint64
}

// checkpoint is one of them: its parts come in, then it is published.
type checkpoint struct {
	parts map[string]Saved // by worker
	// publish is nil until the parts are complete: what comes later changes nothing.
	publish *Publish
}

func savingsOf(g Generation) *savings {
	s := &savings{generation: g.Number, steps: map[uint64]*checkpoint{}, failed: map[uint64]bool{}, lost: map[uint64]bool{}}
	for _, member := range g.Members {
		s.members = append(s.members, member.Worker)
	}
	return s
}

// partSaved takes a member's part; the last one of a step decides about it.
func (m *Machine) partSaved(e Saved) []Effect {
	s := m.savingsIn(e.Generation)
	if s == nil || s.over(e.Step) || !slices.Contains(s.members, e.Worker) || e.Step <= m.published {
		return nil
	}
	step, effects := s.steps[e.Step], []Effect(nil)
	if step == nil {
		if open := s.open(); len(open) >= openLimit {
			effects = m.giveUp(s, open[0], fmt.Sprintf("parts of %d others have come since, and not all of its own", openLimit))
		}
		step = &checkpoint{parts: map[string]Saved{}}
		s.steps[e.Step] = step
	}
	if step.publish != nil {
		return nil
	}
	step.parts[e.Worker] = e
	if len(step.parts) < len(s.members) {
		return append(effects, m.missingParts(s, e.Step)...)
	}
	if odd := s.odd(step); len(odd) > 0 {
		return m.disagreement(s, e.Step, odd)
	}
	step.publish = &Publish{Generation: e.Generation, Step: e.Step, Digest: e.Digest, Loss: e.Loss, Members: s.members}
	for _, id := range s.members {
		step.publish.Parts = append(step.publish.Parts, step.parts[id].Part)
	}
	step.parts = nil
	return append(effects, *step.publish)
}

// missingParts gives a checkpoint up at once if a part can't come any more.
func (m *Machine) missingParts(s *savings, step uint64) []Effect {
	if m.phase == adopting {
		return nil // members are still to come back
	}
	for _, id := range s.members {
		if !s.hasPart(step, id) && m.find(id) == nil {
			return m.giveUp(s, step, fmt.Sprintf("worker %s is gone and has not stored its part", id))
		}
	}
	return nil
}

func (m *Machine) savingsIn(generation uint64) *savings {
	for _, s := range m.savings {
		if s.generation == generation {
			return s
		}
	}
	return nil
}

// orphaned gives up the checkpoints that lack the part of a worker that is gone.
func (m *Machine) orphaned(reason string) []Effect {
	var effects []Effect
	if m.phase == adopting {
		return nil
	}
	for _, s := range slices.Clone(m.savings) {
		for _, step := range s.open() {
			for _, id := range s.members {
				if !s.hasPart(step, id) && m.find(id) == nil {
					effects = append(effects, m.giveUp(s, step, fmt.Sprintf("the part of worker %s is not stored: %s", id, reason))...)
					break
				}
			}
		}
	}
	// What no member has begun to save needs nothing given up, but the end waits
	// for it.
	if m.phase == saving && !m.onItsWay(m.idleAt) && m.retry.IsZero() {
		m.retry = m.now
	}
	return effects
}

// lateParts is how many generations a first part of a checkpoint may come late.
const lateParts = 8

// forgetSavings forgets generations that are long over and of which no part is there.
func (m *Machine) forgetSavings() {
	m.savings = slices.DeleteFunc(m.savings, func(s *savings) bool {
		return len(s.steps) == 0 && s.generation+lateParts < m.generation.Number
	})
}

// open lists the steps that are not being published, in order.
func (s *savings) open() []uint64 {
	var steps []uint64
	for step, c := range s.steps {
		if c.publish == nil {
			steps = append(steps, step)
		}
	}
	slices.Sort(steps)
	return steps
}

// giveUp forgets a checkpoint.
func (m *Machine) giveUp(s *savings, step uint64, reason string) []Effect {
	delete(s.steps, step)
	s.lost[step] = true
	if m.phase == saving && m.retry.IsZero() {
		m.retry = m.now
	}
	return []Effect{GiveUp{s.generation, step, reason}}
}

func (m *Machine) saveFailed(e SaveFailed) []Effect {
	s := m.savingsIn(e.Generation)
	if s == nil || e.Step <= m.published || !slices.Contains(s.members, e.Worker) {
		return nil
	}
	if s.steps[e.Step] == nil {
		s.steps[e.Step] = &checkpoint{parts: map[string]Saved{}}
	}
	if s.steps[e.Step].publish != nil {
		return nil
	}
	effects := m.giveUp(s, e.Step, fmt.Sprintf("worker %s could not store its part: %s", e.Worker, e.Reason))
	s.failed[e.Step] = true
	if m.phase == saving {
		m.retry = m.now.Add(retryAfter)
	}
	return effects
}

func (m *Machine) publishFailed(e PublishFailed) []Effect {
	s := m.savingsIn(e.Generation)
	if s == nil || s.steps[e.Step] == nil || s.steps[e.Step].publish == nil {
		return nil
	}
	effects := m.giveUp(s, e.Step, e.Reason)
	s.failed[e.Step] = true
	if m.phase == saving {
		m.retry = m.now.Add(retryAfter)
	}
	return effects
}

func (m *Machine) publishedStep(e Published) []Effect {
	step := e.Step
	s := m.savingsIn(e.Generation)
	if s == nil || s.steps[step] == nil || s.steps[step].publish == nil || step <= m.published {
		return nil
	}
	m.published, m.hasCheckpoint, m.closing = step, true, s.steps[step].publish
	for _, s := range m.savings {
		maps.DeleteFunc(s.steps, func(at uint64, _ *checkpoint) bool { return at <= step })
		maps.DeleteFunc(s.failed, func(at uint64, _ bool) bool { return at <= step })
		maps.DeleteFunc(s.lost, func(at uint64, _ bool) bool { return at <= step })
	}
	m.savings = slices.DeleteFunc(m.savings, func(s *savings) bool {
		return len(s.steps) == 0 && s.due <= step && s.generation != m.generation.Number
	})
	return nil
}

// onItsWay says that a checkpoint of the step is, or can still be, saved by those
// who are there.
func (m *Machine) onItsWay(step uint64) bool {
	if m.publishing(step) {
		return true
	}
	s := m.savingsIn(m.generation.Number)
	if s == nil || s.over(step) {
		return false
	}
	return s.steps[step] != nil || m.savesAt(step) &&
		!slices.ContainsFunc(s.members, func(id string) bool { return m.find(id) == nil })
}

// owed says that the newest checkpoint that was due until step can't come any more, so that
// the next generation makes another: a member is gone that has not stored its part. That it
// has not may show before the first part of the others comes, or after. Where the Store is to
// blame it has time until the next one is due.
func (m *Machine) owed(step uint64) bool {
	for _, s := range slices.Backward(m.savings) {
		if s.due <= m.published || s.due > step {
			continue
		}
		return !s.failed[s.due] && !m.publishing(s.due) && (s.lost[s.due] || slices.ContainsFunc(s.members, func(id string) bool {
			return m.find(id) == nil && !s.hasPart(s.due, id)
		}))
	}
	return false
}

// noteDue notes what the members of the current generation, who leave it at a step, were to save.
func (m *Machine) noteDue(step uint64) {
	s := m.savingsIn(m.generation.Number)
	if s == nil {
		return
	}
	steps := []uint64{step, m.asked, m.generation.StartStep}
	if every := m.generation.CheckpointEvery; every > 0 {
		steps = append(steps, step-step%every)
	}
	for _, at := range steps {
		if at <= step && m.savesAt(at) {
			s.due = max(s.due, at)
		}
	}
}

// over says that a checkpoint was given up: what comes of it later changes nothing.
func (s *savings) over(step uint64) bool { return s.failed[step] || s.lost[step] }

func (s *savings) hasPart(step uint64, worker string) bool {
	c := s.steps[step]
	if c == nil {
		return false
	}
	_, ok := c.parts[worker]
	return ok
}

// savesAt says that the members of the current generation save a step of their own
// accord.
func (m *Machine) savesAt(step uint64) bool {
	g := m.generation
	return m.persisted && (step > g.StartStep && step == g.LastStep || step == g.StartStep && g.SaveAtStart ||
		step > g.StartStep && g.CheckpointEvery > 0 && step%g.CheckpointEvery == 0 || step > g.StartStep && step == m.asked)
}

// odd lists the members whose digest most of them do not share; all where none is
// shared by most.
func (s *savings) odd(step *checkpoint) []string {
	count := map[string]int{}
	for _, p := range step.parts {
		count[p.Digest]++
	}
	var odd []string
	for _, id := range s.members {
		if 2*count[step.parts[id].Digest] <= len(s.members) && len(count) > 1 {
			odd = append(odd, id)
		}
	}
	return odd
}

// disagreement takes out the members whose state is not that of most of them.
func (m *Machine) disagreement(s *savings, step uint64, odd []string) []Effect {
	var named []string
	for _, id := range odd {
		named = append(named, fmt.Sprintf("%s has %s", id, short(s.steps[step].parts[id].Digest)))
	}
	what := fmt.Sprintf("the workers hold different bits after step %d: %s", step, strings.Join(named, ", "))
	if len(odd) < len(s.members) {
		for _, id := range s.members {
			if !slices.Contains(odd, id) {
				what += ", most have " + short(s.steps[step].parts[id].Digest)
				break
			}
		}
	}
	if len(odd) == len(s.members) {
		return m.fail(what + "; no majority says which is right: look for a machine with bad memory, and start again from the newest checkpoint")
	}
	effects := m.giveUp(s, step, what)
	for _, id := range odd {
		effects = append(effects, m.expel(id, fmt.Sprintf("computes wrong: after step %d it holds other bits than most; look at its memory", step), false)...)
	}
	return effects
}

// short cuts a digest to what people compare.
func short(digest string) string {
	digest = strings.TrimPrefix(digest, "sha256:")
	return digest[:min(12, len(digest))]
}
