package coordinator

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// A narrow terminal has the words that matter most, and never a line that goes on below.
func TestBarFits(t *testing.T) {
	t.Parallel()
	b := bar{done: 50, of: 200, texts: []string{
		"step  50/200 · loss 0.5000 · 32 images/s · 1m39s left", "step  50/200 · loss 0.5000 · 1m39s left", "step  50/200 · 1m39s left",
	}}
	for width, want := range map[int]string{
		79: "step  50/200 · loss 0.5000 · 32 images/s · 1m39s left  25% |████              |",
		59: "step  50/200 · loss 0.5000 · 1m39s left  25% |███         |",
		45: "step  50/200 · 1m39s left  25% |███         |",
		39: "step  50/200 · 1m39s left",
		9:  "step  50…",
		1:  "…",
		0:  "",
		-1: "",
	} {
		if got := b.line(width); got != want {
			t.Errorf("%d columns: %q, want %q", width, got, want)
		}
	}
	for width := range 150 {
		if got := utf8.RuneCountInString(b.line(width)); got > width {
			t.Errorf("%d columns: %d are drawn", width, got)
		}
	}
	if got := (&bar{texts: []string{"no steps"}}).line(40); !strings.Contains(got, "100%") {
		t.Errorf("a run without steps: %q", got)
	}
}

// A terminal that has become narrower is drawn to as it is now.
func TestBarFollowsTheTerminal(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	width := 100
	c := &console{w: &out, tty: true, columns: func() int { return width }}
	c.begin(0, 9, "waiting for workers")
	out.Reset()
	width = 40
	c.put(1, "step 1/9")
	if line, ok := strings.CutPrefix(out.String(), clearLine); !ok || utf8.RuneCountInString(line) != width-1 {
		t.Errorf("%q in %d columns", out.String(), width)
	}
	out.Reset()
	c.end()
	if out.String() != clearLine {
		t.Errorf("the end is %q", out.String())
	}
}
