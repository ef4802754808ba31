package coordinator

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"golang.org/x/term"

	"github.com/ddpm-cluster/ddpm-cluster/internal/logging"
)

// console is standard error: on a terminal, log lines appear above the bar.
type console struct {
	mu  sync.Mutex
	w   io.Writer
	tty bool
	// columns asks how wide the terminal is: it may change during a run.
	columns func() int
	// bar is nil without one.
	bar *bar
	// shown is when a step was shown last.
	shown time.Time
}

// refresh is how often the bar moves at most.
const refresh = 100 * time.Millisecond

func newConsole(w io.Writer) *console {
	return &console{w: w, tty: logging.Terminal(w), columns: func() int { return columns(w) }}
}

// columns is a terminal's width, a usual one where it can't be known.
func columns(w io.Writer) int {
	if f, ok := w.(*os.File); ok {
		if width, _, err := term.GetSize(int(f.Fd())); err == nil && width > 0 {
			return width
		}
	}
	return 80
}

// clearLine takes the cursor to the beginning of its line and clears that, however wide what
// stands there was drawn.
const clearLine = "\r\x1b[2K"

// Write implements io.Writer.
func (c *console) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.bar != nil {
		_, _ = io.WriteString(c.w, clearLine) // what can't be drawn is no reason to lose a line
	}
	n, err := c.w.Write(b)
	c.draw()
	return n, err
}

func (c *console) begin(start, steps uint64, texts ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.tty {
		return
	}
	c.bar = &bar{done: start, of: steps, texts: texts}
	c.draw()
}

// show is put, but not more often than the bar moves.
func (c *console) show(step uint64, texts ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.shown) >= refresh {
		c.shown = time.Now()
		c.set(step, texts)
	}
}

// put has the bar say another text, the first of those that has room beside it.
func (c *console) put(step uint64, texts ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.set(step, texts)
}

func (c *console) set(step uint64, texts []string) {
	if c.bar != nil {
		c.bar.done, c.bar.texts = step, texts
		c.draw()
	}
}

func (c *console) draw() {
	if c.bar != nil {
		_, _ = io.WriteString(c.w, clearLine+c.bar.line(c.columns()-1)) // what can't be drawn is no reason to end
	}
}

// end takes the bar away.
func (c *console) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.bar != nil {
		_, _ = io.WriteString(c.w, clearLine)
		c.bar = nil
	}
}

// bar is one line that says how much is done.
type bar struct {
	done, of uint64
	// texts say it in words, the longest first.
	texts []string
}

// leastBar is how wide a bar must be to tell anything, in cells.
const leastBar = 10

// line is the bar in so many columns, with the first text that leaves room for it. Where none
// does, the last text takes its place, cut to what there is: a line that went on to the next
// would stay there.
func (b *bar) line(width int) string {
	part := 1.0
	if b.of > 0 {
		part = min(1, float64(b.done)/float64(b.of))
	}
	for _, text := range b.texts {
		text = fmt.Sprintf("%s %3d%% ", text, int(100*part))
		if cells := width - utf8.RuneCountInString(text) - len("||"); cells >= leastBar {
			full := int(part * float64(cells))
			return text + "|" + strings.Repeat("█", full) + strings.Repeat(" ", cells-full) + "|"
		}
	}
	last := []rune(b.texts[len(b.texts)-1])
	if len(last) > width {
		last = append(last[:max(0, width-1)], []rune("…")[:min(1, max(0, width))]...)
	}
	return string(last)
}
