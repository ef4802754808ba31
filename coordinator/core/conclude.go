package core

import (
	"fmt"
	"slices"
)

// conclude ends the run once the checkpoint of its last step is published.
func (m *Machine) conclude(workers []*worker, step uint64, live bool) []Effect {
	if step <= m.published {
		if !m.hasCheckpoint && step == 0 {
			return m.stopEmpty("stopped before there was anything to save: " + m.stopping)
		}
		end := End{OK: true, Reason: m.whyEnd(step), Step: step}
		if m.closing != nil && m.closing.Step == step {
			end.Digest, end.Loss = m.closing.Digest, m.closing.Loss
		}
		return m.finish(end)
	}
	if m.publishing(step) || m.yielding && m.savesAt(step) && m.membersAt(step) {
		m.await(step, fmt.Sprintf("step %d is the last one; its checkpoint is being stored", step))
		return nil
	}
	return m.save(workers, step)
}

// returning says that a worker may yet say that it has a state, or come back with one.
func (m *Machine) returning() bool {
	if !m.lost.IsZero() && m.now.Sub(m.lost) < m.config.AdoptPatience {
		return true
	}
	return slices.ContainsFunc(m.workers, (*worker).pending)
}

// linger waits, before the run is stopped without what is not saved, for those who may have it.
func (m *Machine) linger() []Effect {
	if m.phase == paused {
		return nil
	}
	m.disband()
	m.enter(paused, fmt.Sprintf("stopping, and nobody here has the state; waiting for those to come back who may have one that is newer than the checkpoint of step %d", m.published))
	return []Effect{Note{m.reason}}
}

// membersAt says that the members of the generation stand at the end of a step.
func (m *Machine) membersAt(step uint64) bool {
	for w := range m.members() {
		if !w.position.HasState || w.position.Step != step {
			return false
		}
	}
	return true
}

// await waits for the checkpoint of the step at which the members are idle.
func (m *Machine) await(step uint64, reason string) {
	m.enter(saving, reason)
	m.idleAt = step
	s := m.savingsIn(m.generation.Number)
	switch {
	case m.publishing(step) || m.onItsWay(step):
		m.retry = m.zero()
	case s != nil && s.failed[step]:
		m.retry = m.now.Add(retryAfter)
	default: // a member is gone that had not stored its part
		m.retry = m.now
	}
}

// publishing says that all parts of a step's checkpoint are stored.
func (m *Machine) publishing(step uint64) bool {
	for _, s := range m.savings {
		if c := s.steps[step]; c != nil && c.publish != nil {
			return true
		}
	}
	return false
}

// save makes a generation whose members have nothing to train and store a
// checkpoint.
func (m *Machine) save(workers []*worker, step uint64) []Effect {
	var savers []*worker
	for _, w := range workers {
		if w.position.HasState && w.position.Step+1 >= step {
			savers = append(savers, w)
		}
	}
	if len(m.change) == 0 {
		m.change = []string{"a checkpoint is needed"}
	}
	m.change = append(m.change, fmt.Sprintf("the checkpoint of step %d is to be stored", step))
	return m.form(savers, step, true, step)
}

// whyEnd says why the run ends well after a step.
func (m *Machine) whyEnd(step uint64) string {
	if step >= m.config.Steps {
		return fmt.Sprintf("step %d is complete and its checkpoint published", step)
	}
	return fmt.Sprintf("stopped after step %d of %d, whose checkpoint is published: %s", step, m.config.Steps, m.stopping)
}

// fail ends the run without its last step.
func (m *Machine) fail(reason string) []Effect { return m.finish(m.without(reason)) }

// stopEmpty ends a run that was asked to end, and has nothing yet to save.
func (m *Machine) stopEmpty(reason string) []Effect {
	end := m.without(reason)
	end.Stopped = true
	return m.finish(end)
}

// without is an end without the run's last step.
func (m *Machine) without(reason string) End {
	if m.phase != waiting && m.generation.Number > 0 && m.phase != adopting {
		reason += fmt.Sprintf(" (generation %d, %s)", m.generation.Number, m.phase)
	}
	return End{Reason: reason, Step: m.published}
}

func (m *Machine) finish(end End) []Effect {
	m.phase, m.end, m.reason = ended, end, end.Reason
	var effects []Effect
	for _, w := range m.workers {
		effects = append(effects, Dismiss{Worker: w.id, OK: end.OK, Reason: end.Reason})
	}
	return append(effects, end)
}

func (m *Machine) stop(reason string) []Effect {
	if m.stopping != "" {
		return nil
	}
	m.stopping = reason
	switch {
	case m.phase == adopting && m.deserted():
		return m.stopEmpty("stopped before training began: " + reason)
	case m.phase == training:
		return m.yield(reason, true)
	}
	return nil // the next generation saves and ends, and so does one that is adopted
}

// stopIdle ends a run in which nobody trains, once it is known who has a state, and that one
// is saved.
func (m *Machine) stopIdle() []Effect {
	unsaved := false
	for _, w := range m.workers {
		if m.phase == waiting && w.pending() {
			return nil
		}
		unsaved = unsaved || w.available && w.unsaved(m.published)
	}
	if m.phase == paused || unsaved {
		return m.regroup()
	}
	return m.stopEmpty("stopped before training began: " + m.stopping)
}

// unreadable ends a run that would have to begin from a checkpoint that nobody can read. Where
// a worker has a state, the run goes on from that one.
func (m *Machine) unreadable(e Unreadable) []Effect {
	for _, w := range m.workers {
		if w.ready || w.pending() || w.position != nil && w.position.HasState || m.brings(w) {
			return []Effect{Note{fmt.Sprintf("the checkpoint of step %d is not whole: %s; the run goes on, and the next one replaces it", e.Step, e.Reason)}}
		}
	}
	if !m.hasCheckpoint || e.Step != m.published {
		return nil
	}
	return m.fail(fmt.Sprintf("no worker has the state, and the checkpoint of step %d can't be read: %s", e.Step, e.Reason))
}

// brings says that a worker is in a generation to which it has brought the state.
func (m *Machine) brings(w *worker) bool {
	if !w.member || !m.persisted || m.generation.Source != FromMembers {
		return false
	}
	member := m.generation.member(w.id)
	return member != nil && member.Lack != LackState
}
