package coordinator

import (
	"bytes"
	"log/slog"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/ddpm-cluster/ddpm-cluster/internal/logging"
	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
)

// On a terminal: one bar that says step, loss, rate and what is left, with log
// lines above it.
func TestBar(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	c := &console{w: &out, tty: true, columns: func() int { return 100 }}
	p := newProgress(c, logging.New(c, logging.Text, c.tty, slog.LevelInfo), 0, 200)
	now := time.Now()
	for step := range uint64(3) {
		c.shown = time.Time{} // however fast the test is
		p.step(now.Add(time.Duration(step)*500*time.Millisecond), &ddpmv1.Progress{Step: step + 1, Loss: 0.5, Images: 16})
	}
	if want := "step   3/200 · loss 0.5000 · 32 images/s · 1m39s left   1% |"; !strings.Contains(out.String(), want) {
		t.Errorf("no %q in %q", want, out.String())
	}
	out.Reset()
	p.log.Info("a line")
	clear, bar, ok := strings.Cut(out.String(), " msg=\"a line\"\n")
	if !ok || !strings.HasPrefix(clear, "\r") || !strings.Contains(bar, "step   3/200") {
		t.Errorf("a line, and the bar: %q", out.String())
	}
	if now := time.Now().Format(time.TimeOnly)[:2]; !strings.Contains(clear, "time="+now) && !strings.Contains(clear, "time=00") {
		t.Errorf("the time is not short: %q", clear)
	}
	if strings.Contains(clear, "level") {
		t.Errorf("a level that says nothing: %q", clear)
	}
	out.Reset()
	p.log.Warn("a warning")
	if !strings.Contains(out.String(), "level=WARN msg=\"a warning\"") {
		t.Errorf("a warning: %q", out.String())
	}
	c.end()
	out.Reset()
	p.log.Info("the last line")
	if strings.Contains(out.String(), "step") {
		t.Errorf("the bar is still there: %q", out.String())
	}
}

// Elsewhere: a line now and then.
func TestLines(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	c := newConsole(&out)
	p := newProgress(c, logging.New(c, logging.Text, c.tty, slog.LevelInfo), 100, 200)
	now := time.Now()
	p.tick(now.Add(time.Hour))
	if out.Len() > 0 {
		t.Errorf("before the first step: %s", &out)
	}
	p.step(now, &ddpmv1.Progress{Step: 101, Loss: 1, Images: 4})
	p.step(now.Add(time.Second), &ddpmv1.Progress{Step: 102, Loss: 3, Images: 4})
	p.tick(now.Add(progressEvery / 2))
	p.tick(now.Add(2 * progressEvery))
	p.tick(now.Add(2*progressEvery + time.Second))
	if text := out.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, "step=102 of=200 loss=2.0000 images/s=4.0 left=1m38s") {
		t.Errorf("the log is %q", text)
	}
	out.Reset()
	p.step(now.Add(2*time.Second), &ddpmv1.Progress{Step: 103, Loss: math.NaN(), Skipped: true})
	if text := out.String(); !strings.Contains(text, "level=WARN") || !strings.Contains(text, "step=103 skipped=1") || math.IsNaN(p.loss.value) {
		t.Errorf("a skipped step: %q, loss %v", text, p.loss.value)
	}
	for step, want := range map[uint64]bool{103: false, 104: true, 200: true, 201: false, 0: false} {
		if p.next(step) != want {
			t.Errorf("next(%d) is %v", step, !want)
		}
	}
}

// While the members don't train, the log says what keeps the run up, and not a rate.
func TestLinesOfAPhase(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	c := newConsole(&out)
	p := newProgress(c, logging.New(c, logging.Text, c.tty, slog.LevelInfo), 0, 2)
	now := time.Now()
	p.at("training", "the first generation")
	p.step(now, &ddpmv1.Progress{Step: 1, Loss: 1, Images: 4})
	p.step(now.Add(time.Second), &ddpmv1.Progress{Step: 2, Loss: 1, Images: 4})
	p.at("saving", "step 2 is the last one; its checkpoint is being stored")
	p.tick(now.Add(2 * progressEvery))
	if text := out.String(); strings.Count(text, "\n") != 1 || strings.Contains(text, "left=") ||
		!strings.Contains(text, `msg=saving step=2 of=2 reason="step 2 is the last one; its checkpoint is being stored"`) {
		t.Errorf("the log is %q", text)
	}
}

// So does the bar, whether the last step's line comes before or after.
func TestBarOfAPhase(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	c := &console{w: &out, tty: true, columns: func() int { return 120 }}
	p := newProgress(c, slog.New(slog.DiscardHandler), 0, 2)
	says := func(want string) {
		t.Helper()
		_, last, _ := strings.Cut(out.String()[strings.LastIndex(out.String(), clearLine):], clearLine)
		if !strings.HasPrefix(last, want) || strings.Contains(last, "left") != strings.Contains(want, "left") {
			t.Errorf("it says %q, want %q", last, want)
		}
	}
	says("waiting for workers")
	p.at("waiting", "waiting for workers")
	says("step 0/2 · waiting for workers")
	p.at("training", "the first generation")
	says("step 0/2 · training")
	now := time.Now()
	p.step(now, &ddpmv1.Progress{Step: 1, Loss: 1, Images: 4})
	says("step 1/2 · loss 1.0000 · – images/s · – left")
	p.at("saving", "step 2 is the last one")
	says("step 1/2 · saving: step 2 is the last one")
	c.shown = time.Time{}
	p.step(now.Add(time.Second), &ddpmv1.Progress{Step: 2, Loss: 1, Images: 4})
	says("step 2/2 · saving: step 2 is the last one")
	p.at("training", "again")
	says("step 2/2 · loss 1.0000 · 4.0 images/s · 0s left")
}
