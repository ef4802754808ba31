package coordinator

import (
	"fmt"
	"log/slog"
	"strings"
	"time"

	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
)

// progressEvery is how often a log that nobody watches says where the run is.
const progressEvery = 10 * time.Second

// progress shows how a run goes: a bar on a terminal, a line now and then
// elsewhere.
type progress struct {
	console *console
	log     *slog.Logger
	steps   uint64

	done     uint64
	loss     mean
	images   mean // of a step
	seconds  mean // of a step
	last     time.Time
	reported time.Time
	skipped  uint64
	// phase and reason are the machine's; no phase is told of before its first event.
	phase, reason string
}

func newProgress(c *console, log *slog.Logger, start, steps uint64) *progress {
	c.begin(start, steps, "waiting for workers")
	return &progress{console: c, log: log, steps: steps, done: start, reported: time.Now()}
}

// next says whether a step is one that can come next.
func (p *progress) next(step uint64) bool { return step > p.done && step <= p.steps }

// step notes a completed step.
func (p *progress) step(now time.Time, s *ddpmv1.Progress) {
	if !p.last.IsZero() {
		p.images.add(float64(s.GetImages()))
		p.seconds.add(now.Sub(p.last).Seconds())
	}
	p.last = now
	p.done = s.GetStep()
	if s.GetSkipped() {
		p.skipped++
		p.log.Warn("a step was skipped: its gradient overflowed", "step", s.GetStep(), "skipped", p.skipped)
	} else {
		p.loss.add(s.GetLoss())
	}
	p.console.show(p.done, p.texts()...)
}

// at notes where the run is, and why.
func (p *progress) at(phase, reason string) {
	if p.phase == phase && p.reason == reason {
		return
	}
	p.phase, p.reason = phase, reason
	p.console.put(p.done, p.texts()...)
}

// trains says that members train, as far as anybody has said.
func (p *progress) trains() bool { return p.phase == "" || p.phase == training }

// training is the machine's name of the phase in which there is a rate, and a time that is left.
const training = "training"

// texts are what the bar says, the longest first.
func (p *progress) texts() []string {
	step := fmt.Sprintf("step %*d/%d", len(fmt.Sprint(p.steps)), p.done, p.steps)
	switch {
	case !p.trains() && strings.HasPrefix(p.reason, p.phase):
		return []string{step + " · " + p.reason}
	case !p.trains():
		return []string{step + " · " + p.phase + ": " + p.reason}
	case p.last.IsZero():
		return []string{step + " · " + training}
	}
	loss, left := fmt.Sprintf(" · loss %.4f", p.loss.value), " · "+p.left()+" left"
	return []string{step + loss + " · " + p.rate() + " images/s" + left, step + loss + left, step + left}
}

// tick says where the run is, if it is time.
func (p *progress) tick(now time.Time) {
	if p.console.tty || now.Sub(p.reported) < progressEvery || p.last.IsZero() {
		return
	}
	p.reported = now
	if !p.trains() {
		p.log.Info(p.phase, "step", p.done, "of", p.steps, "reason", p.reason)
		return
	}
	p.log.Info(training, "step", p.done, "of", p.steps, "loss", fmt.Sprintf("%.4f", p.loss.value), "images/s", p.rate(), "left", p.left())
}

// rate is in images a second.
func (p *progress) rate() string {
	if p.seconds.value <= 0 {
		return "–"
	}
	return fmt.Sprintf("%.*f", decimals(p.images.value/p.seconds.value), p.images.value/p.seconds.value)
}

func decimals(rate float64) int {
	if rate < 10 {
		return 1
	}
	return 0
}

// left is how long the steps that remain take at the present rate.
func (p *progress) left() string {
	if p.seconds.n == 0 {
		return "–"
	}
	seconds := p.seconds.value * float64(p.steps-min(p.done, p.steps))
	return time.Duration(seconds * float64(time.Second)).Round(time.Second).String()
}

// mean is a running mean: of all values at first, then mostly of the last ones.
type mean struct {
	value float64
	n     int
}

// window is about how many values count.
const window = 30

func (m *mean) add(value float64) {
	m.n = min(m.n+1, window)
	m.value += (value - m.value) / float64(m.n)
}
