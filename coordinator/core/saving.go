package core

import (
	"fmt"
	"strings"
)

// saving is a checkpoint on its way: its parts come in, then it is published.
type saving struct {
	parts map[string]Saved // by worker
	// publish is nil until the parts are complete: what comes later changes nothing.
	publish *Publish
}

// saved takes a member's part; the last one of a step decides about it.
func (m *Machine) saved(e Saved) []Effect {
	if m.find(e.Worker) == nil || m.phase != training || e.Generation != m.generation.Number || e.Step <= m.published {
		return nil
	}
	s := m.saving[e.Step]
	if s == nil {
		s = &saving{parts: map[string]Saved{}}
		m.saving[e.Step] = s
	}
	if s.publish != nil {
		return nil
	}
	s.parts[e.Worker] = e
	if what := m.uneven(s, e); what != "" {
		return m.fail(what)
	}
	if len(s.parts) < len(m.workers) {
		return nil
	}
	if odd := m.disagreement(s); odd != "" {
		return m.fail(fmt.Sprintf("the workers hold different bits after step %d: %s; a machine computes wrong or runs another build, take it out", e.Step, odd))
	}
	s.publish = &Publish{Step: e.Step, Digest: e.Digest, Loss: e.Loss}
	for _, w := range m.workers {
		s.publish.Members = append(s.publish.Members, w.id)
	}
	return []Effect{*s.publish}
}

// uneven says so where members do not end after the same step: they would wait for
// each other for ever.
func (m *Machine) uneven(s *saving, e Saved) string {
	if e.Last && m.last == 0 {
		m.last = e.Step
	}
	even := m.last == 0 || e.Step < m.last || e.Step == m.last && e.Last
	for _, p := range s.parts {
		even = even && p.Last == e.Last
	}
	if even {
		return ""
	}
	does := "goes on"
	if e.Last {
		does = "ends"
	}
	return fmt.Sprintf("the workers do not end after the same step: %s %s after step %d, another does not; install the same version everywhere", e.Worker, does, e.Step)
}

// disagreement names the workers that do not hold what most of them hold, or
// everybody's digest where there is no majority.
func (m *Machine) disagreement(s *saving) string {
	count := map[string]int{}
	for _, p := range s.parts {
		count[p.Digest]++
	}
	if len(count) == 1 {
		return ""
	}
	var odd []string
	for _, w := range m.workers {
		if d := s.parts[w.id].Digest; 2*count[d] <= len(m.workers) {
			odd = append(odd, fmt.Sprintf("%s has %s", w.id, short(d)))
		}
	}
	return strings.Join(odd, ", ")
}

// short cuts a digest to what people compare.
func short(digest string) string {
	digest = strings.TrimPrefix(digest, "sha256:")
	return digest[:min(12, len(digest))]
}

// complete says that all parts of the last checkpoint are stored.
func (m *Machine) complete() bool {
	s := m.saving[m.last]
	return s != nil && s.publish != nil
}

func (m *Machine) publishedStep(step uint64) []Effect {
	s := m.saving[step]
	if m.phase != training || s == nil || s.publish == nil {
		return nil
	}
	delete(m.saving, step)
	m.published = max(m.published, step)
	if step != m.last {
		return nil
	}
	return m.finish(End{OK: true, Reason: m.whyEnd(step), Step: step, Digest: s.publish.Digest, Loss: s.publish.Loss})
}

// whyEnd says why the run ends well after a step.
func (m *Machine) whyEnd(step uint64) string {
	why := m.stopping
	switch {
	case why == "" && step >= m.config.Steps:
		return fmt.Sprintf("step %d is complete and its checkpoint published", step)
	case why == "":
		why = "a worker was interrupted"
	}
	return fmt.Sprintf("stopped after step %d of %d, whose checkpoint is published: %s", step, m.config.Steps, why)
}
