package core

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

const (
	// gather is how long a change at a boundary waits for more reasons to change:
	// workers that join together are taken in together.
	gather = 200 * time.Millisecond
	// answerLimit is how long a worker that shows signs of life may take to answer a
	// Halt.
	answerLimit = 10 * time.Second
	// settled is how long a generation trains before it is dealt anew for speed, and
	// worse by how much longer its steps must take than they could.
	settled = 5 * time.Second
	worse   = 1.15
	// crowded is from how many members on what all of them say is looked at less often
	// than it changes.
	crowded = 100
	// retryAfter is how long the end waits after a checkpoint that failed.
	retryAfter = 5 * time.Second
)

// consider does what is due, whatever event made it so.
func (m *Machine) consider() []Effect {
	switch m.phase {
	case waiting, paused:
		effects := m.release()
		if m.someoneLeaves() {
			return append(effects, m.regroup()...) // which saves what it has
		}
		return append(effects, m.enough()...)
	case adopting:
		return m.adopt()
	case forming:
		return m.formed()
	case training:
		return m.betterAtABoundary()
	case changing:
		for w := range m.members() {
			if w.position != nil {
				continue
			}
			if !m.hearing.IsZero() && m.now.Sub(m.hearing) >= answerLimit {
				return m.askPositions()
			}
			return nil
		}
		return m.regroup()
	case saving:
		if m.idleAt <= m.published || !m.retry.IsZero() && !m.now.Before(m.retry) {
			m.retry, m.yielding = time.Time{}, false
			if m.idleAt <= m.published {
				m.lost = m.zero() // whoever was lost has nothing newer
			}
			return m.regroup()
		}
	}
	return nil
}

// release lets workers go that ask to leave where there is nothing to wait for.
func (m *Machine) release() []Effect {
	var effects []Effect
	for i := 0; i < len(m.workers); i++ {
		w := m.workers[i]
		if w.leaving == "" || w.unsaved(m.published) || w.pending() {
			continue
		}
		m.remove(w.id)
		effects = append(effects, Dismiss{Worker: w.id, OK: true, Reason: "it asked to leave: " + w.leaving})
		i--
	}
	return effects
}

// someoneLeaves says that a worker that asks to leave is still there.
func (m *Machine) someoneLeaves() bool {
	return slices.ContainsFunc(m.workers, func(w *worker) bool { return w.leaving != "" && w.position != nil })
}

// enough begins, or goes on, when there are workers enough.
func (m *Machine) enough() []Effect {
	if m.hasCheckpoint && m.published >= m.config.Steps {
		return m.conclude(nil, m.published, false)
	}
	n, trained := 0, false
	for _, w := range m.workers {
		if w.available && w.position != nil {
			n++
			trained = trained || w.position.HasState
		}
	}
	if m.stopping != "" {
		return m.stopIdle()
	}
	switch {
	case n == 0:
		return nil
	case m.phase == paused && n >= m.config.MinWorkers:
		m.change = []string{plural(n, "worker is", "workers are") + " there again"}
		return m.regroup()
	case m.phase == waiting && n >= m.config.Workers:
		m.change = []string{fmt.Sprintf("all %d workers have joined", m.config.Workers)}
		if m.config.Workers == 1 {
			m.change = []string{"the worker has joined"}
		}
		return m.regroup()
	case m.phase == waiting && trained && n >= m.config.MinWorkers && m.now.Sub(m.joined) >= m.config.AdoptPatience:
		// They stand still, and those who are missing join at any time.
		m.change = []string{fmt.Sprintf("%s to go on, and nobody else for %s", plural(n, "worker is there", "workers are there"), m.config.AdoptPatience)}
		return m.regroup()
	case m.phase == waiting && n >= m.config.MinWorkers && m.now.Sub(m.joined) >= m.config.Patience:
		m.change = []string{fmt.Sprintf("%d of %d workers have joined, at least --min-workers %d, and nobody else for %s",
			n, m.config.Workers, m.config.MinWorkers, m.config.Patience)}
		return m.regroup()
	}
	return nil
}

// formed begins training when all members are ready.
func (m *Machine) formed() []Effect {
	for w := range m.members() {
		if !w.ready {
			return nil
		}
	}
	if m.generation.LastStep <= m.generation.StartStep {
		m.await(m.generation.StartStep, m.generation.Reason)
		return nil
	}
	m.enter(training, m.generation.Reason)
	for w := range m.members() {
		if w.position != nil { // it has completed all before others said that they begin
			m.complete(w.position.Step)
			return nil
		}
	}
	if m.stopping != "" {
		return m.yield(m.stopping, true)
	}
	return nil
}

// calm says that nothing has happened in a large run since what could be better was looked
// at, a second ago at most.
func (m *Machine) calm() bool {
	return m.phase == training && len(m.workers) >= crowded && m.wanted.IsZero() && m.now.Sub(m.compared) < time.Second
}

// betterAtABoundary asks the members to leave their ring at a boundary if another
// generation would be better.
func (m *Machine) betterAtABoundary() []Effect {
	var joins, leaves []string
	for _, w := range m.workers {
		switch {
		case w.leaving != "":
			leaves = append(leaves, w.id)
		case !w.member && w.available && w.position != nil:
			joins = append(joins, w.id)
		}
	}
	var reasons []string
	if len(joins) > 0 {
		reasons = append(reasons, some(joins, "joins", "join"))
	}
	if len(leaves) > 0 {
		reasons = append(reasons, some(leaves, "leaves", "leave"))
	}
	// Comparing deals sorts all rates: many members are compared once a second.
	if m.now.Sub(m.compared) >= time.Second || len(m.generation.Members) < crowded {
		m.compared, m.better = m.now, m.unevenDeal()
	}
	if m.better != "" {
		reasons = append(reasons, m.better)
	}
	if len(reasons) == 0 {
		m.wanted = time.Time{}
		return nil
	}
	if m.wanted.IsZero() {
		m.wanted = m.now
	}
	if len(leaves) == 0 && m.now.Sub(m.wanted) < gather {
		return nil
	}
	return m.yield(strings.Join(reasons, "; "), false)
}

// plural counts something.
func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// some names workers as the subject of a sentence.
func some(ids []string, one, many string) string {
	switch {
	case len(ids) == 1:
		return "worker " + ids[0] + " " + one
	case len(ids) <= 4:
		return "workers " + strings.Join(ids, ", ") + " " + many
	}
	return fmt.Sprintf("%d workers %s", len(ids), many)
}

// unevenDeal says so where another deal of the shards has been better for a while.
func (m *Machine) unevenDeal() string {
	rates := make([]float64, len(m.generation.Members))
	now := make([]int, len(rates))
	slowest := 0
	for i, member := range m.generation.Members {
		w := m.find(member.Worker)
		if w == nil || w.rate <= 0 {
			return ""
		}
		rates[i], now[i] = w.rate, member.Shards
		if rates[i] < rates[slowest] {
			slowest = i
		}
	}
	is, sum := longest(now, rates), 0.0
	for _, r := range rates {
		sum += r
	}
	if is*sum <= worse*float64(m.config.Shards) { // shards that could be cut would do no better
		m.uneven = time.Time{}
		return ""
	}
	could := longest(m.shares(m.generation.Members, rates), rates)
	if is <= worse*could {
		m.uneven = time.Time{}
		return ""
	}
	if m.uneven.IsZero() {
		m.uneven = m.now
	}
	if m.now.Sub(m.uneven) < settled || m.now.Sub(m.since) < settled {
		return ""
	}
	return fmt.Sprintf("a better deal: worker %s computes %.3g shards/s and others up to %.3g, so steps take %.2f times as long as they could",
		m.generation.Members[slowest].Worker, rates[slowest], maxOf(rates), is/could)
}

func maxOf(rates []float64) float64 {
	most := 0.0
	for _, r := range rates {
		most = max(most, r)
	}
	return most
}

// AtRest says that many workers train and no change is wanted: then waking up is most of
// what a coordinator does.
func (m *Machine) AtRest() bool {
	return m.phase == training && len(m.workers) >= crowded && m.wanted.IsZero()
}

// tick notices what happens by time alone.
func (m *Machine) tick() []Effect {
	m.excuse()
	if len(m.workers) >= crowded && m.now.Sub(m.looked) < time.Second {
		return m.poll()
	}
	m.looked = m.now
	for _, w := range m.workers {
		if w.asked && w.member && m.proven.After(w.life.last) {
			w.life.excuse(m.proven)
		}
		if d, tooLong := w.life.silent(m.now, m.config.Silence); tooLong {
			m.looked = m.zero() // there may be others
			return m.lose(w.id, fmt.Sprintf("was lost: it has been silent for %s", d.Round(100*time.Millisecond)))
		}
		if w.pending() && m.now.Sub(w.halted) > answerLimit {
			m.looked = m.zero()
			return m.lose(w.id, fmt.Sprintf("was lost: it has not said for %s where it stands", answerLimit))
		}
	}
	return m.poll()
}

// poll asks the workers for signs of life that give them when they are asked, when it is
// time: less often while steps are completed, and of members even less, which these prove
// to live. When none comes any more all are asked as often as ever, so that it takes no
// longer to find the one who stands still.
func (m *Machine) poll() []Effect {
	every := m.heartbeat()
	member, other := every, every
	if m.now.Sub(m.proven) < every {
		member, other = quiet(every), others*every
	}
	members, rest := m.now.Sub(m.polled) >= member, m.now.Sub(m.polledOthers) >= other
	if !members && !rest {
		return nil
	}
	if members {
		m.polled = m.now
	}
	if rest {
		m.polledOthers = m.now
	}
	var effects []Effect
	for _, w := range m.workers {
		if w.asked && (w.member && members || !w.member && rest) {
			effects = append(effects, Ask{w.id})
		}
	}
	return effects
}

// excuse blames nobody for a time in which the coordinator itself stood still:
// what the workers said meanwhile is still to be heard.
func (m *Machine) excuse() {
	if stood := m.now.Sub(m.ticked); stood > m.config.Silence.Min/2 {
		for _, w := range m.workers {
			w.life.excuse(m.now)
			if !w.halted.IsZero() {
				w.halted = m.now
			}
		}
	}
	m.ticked = m.now
}
