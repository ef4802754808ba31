package coordinator

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

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
	loss     float64 // smoothed
	rate     float64 // images a second, smoothed
	last     time.Time
	reported time.Time
	skipped  uint64
}

func newProgress(c *console, log *slog.Logger, start, steps uint64) *progress {
	c.begin(start, steps)
	return &progress{console: c, log: log, steps: steps, done: start, reported: time.Now()}
}

// smoothing is the weight of the newest value in a running mean.
const smoothing = 0.05

// step notes a completed step.
func (p *progress) step(now time.Time, s *ddpmv1.Progress) {
	if !p.last.IsZero() {
		rate := float64(s.GetImages()) / max(now.Sub(p.last).Seconds(), 1e-6)
		p.rate = blend(p.rate, rate)
	}
	p.last = now
	p.done = s.GetStep()
	if s.GetSkipped() {
		p.skipped++
		p.log.Warn("a step was skipped: its gradient overflowed", "step", s.GetStep(), "skipped", p.skipped)
	} else {
		p.loss = blend(p.loss, s.GetLoss())
	}
	p.console.show(p.done, fmt.Sprintf("loss %.4f · %.0f images/s", p.loss, p.rate))
}

func blend(mean, value float64) float64 {
	if mean == 0 {
		return value
	}
	return mean + smoothing*(value-mean)
}

// tick says where the run is, if it is time.
func (p *progress) tick(now time.Time) {
	if p.console.bar != nil || now.Sub(p.reported) < progressEvery || p.last.IsZero() {
		return
	}
	p.reported = now
	left := time.Duration(0)
	if p.rate > 0 {
		left = p.eta()
	}
	p.log.Info("training", "step", p.done, "of", p.steps, "loss", fmt.Sprintf("%.4f", p.loss),
		"images/s", fmt.Sprintf("%.0f", p.rate), "left", left.Round(time.Second))
}

// eta is how long the steps that remain take at the rate so far.
func (p *progress) eta() time.Duration {
	perStep := p.console.perStep(p.done)
	return time.Duration(float64(p.steps-min(p.done, p.steps)) * perStep * float64(time.Second))
}

// console is standard error: on a terminal, log lines appear above the bar.
type console struct {
	mu    sync.Mutex
	w     io.Writer
	bar   *progressbar.ProgressBar
	tty   bool
	start uint64
	begun time.Time
}

func newConsole(w io.Writer) *console {
	f, ok := w.(*os.File)
	return &console{w: w, tty: ok && term.IsTerminal(int(f.Fd()))}
}

// Write implements io.Writer.
func (c *console) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.bar != nil {
		_ = c.bar.Clear() // what can't be drawn is no reason to lose a line
	}
	n, err := c.w.Write(b)
	if c.bar != nil {
		_ = c.bar.RenderBlank()
	}
	return n, err
}

func (c *console) begin(start, steps uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.start = start
	if !c.tty {
		return
	}
	c.bar = progressbar.NewOptions64(int64(steps),
		progressbar.OptionSetWriter(c.w), progressbar.OptionShowCount(), progressbar.OptionSetPredictTime(true),
		progressbar.OptionFullWidth(), progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionSetDescription("waiting for workers"))
	_ = c.bar.Set64(int64(start))
}

func (c *console) show(step uint64, text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.begun.IsZero() {
		c.begun, c.start = time.Now(), step
	}
	if c.bar != nil {
		c.bar.Describe(text)
		_ = c.bar.Set64(int64(step))
	}
}

// perStep is the mean time of a step since the first that was shown, in seconds.
func (c *console) perStep(step uint64) float64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if step <= c.start {
		return 0
	}
	return time.Since(c.begun).Seconds() / float64(step-c.start)
}

// end takes the bar away.
func (c *console) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.bar != nil {
		_ = c.bar.Clear()
		c.bar = nil
	}
}
