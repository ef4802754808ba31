package coordinator

import (
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/ddpm-cluster/ddpm-cluster/internal/logging"
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
}

func newProgress(c *console, log *slog.Logger, start, steps uint64) *progress {
	c.begin(start, steps)
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
	width := len(fmt.Sprint(p.steps))
	p.console.show(p.done, fmt.Sprintf("step %*d/%d · loss %.4f · %s images/s · %s left ", width, p.done, p.steps, p.loss.value, p.rate(), p.left()))
}

// tick says where the run is, if it is time.
func (p *progress) tick(now time.Time) {
	if p.console.tty || now.Sub(p.reported) < progressEvery || p.last.IsZero() {
		return
	}
	p.reported = now
	p.log.Info("training", "step", p.done, "of", p.steps, "loss", fmt.Sprintf("%.4f", p.loss.value), "images/s", p.rate(), "left", p.left())
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

// console is standard error: on a terminal, log lines appear above the bar.
type console struct {
	mu  sync.Mutex
	w   io.Writer
	bar *progressbar.ProgressBar
	tty bool
	// shown is when a step was shown last.
	shown time.Time
}

// refresh is how often the bar moves at most.
const refresh = 100 * time.Millisecond

func newConsole(w io.Writer) *console {
	return &console{w: w, tty: logging.Terminal(w)}
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
	if !c.tty {
		return
	}
	c.bar = progressbar.NewOptions64(int64(steps),
		progressbar.OptionSetWriter(c.w), progressbar.OptionSetPredictTime(false), progressbar.OptionSetElapsedTime(false),
		progressbar.OptionFullWidth(), progressbar.OptionSetDescription("waiting for workers "))
	_ = c.bar.Set64(int64(start)) // what can't be drawn is no reason to end
}

func (c *console) show(step uint64, text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	// The bar's own throttle would also keep it away after a log line.
	if c.bar == nil || time.Since(c.shown) < refresh {
		return
	}
	c.shown = time.Now()
	c.bar.Describe(text)
	_ = c.bar.Set64(int64(step))
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
