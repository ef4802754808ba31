package main

import (
	"io"
	"os"
	"sync"

	"golang.org/x/term"
)

// screen is standard error on a terminal, with at most one bar: whatever else is written takes
// the bar's line, and the bar comes below when it moves.
type screen struct {
	mu sync.Mutex
	w  io.Writer
	// drawn says that a bar stands on the line, over that none comes any more.
	drawn, over bool
}

// onScreen is standard error as it is, or the screen that it is.
func onScreen(stderr io.Writer) io.Writer {
	if file, ok := stderr.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		return &screen{w: file}
	}
	return stderr
}

// screenOf is nil where there is no terminal to draw a bar on.
func screenOf(stderr io.Writer) *screen {
	s, _ := stderr.(*screen)
	return s
}

// clearLine takes a terminal's cursor to the beginning of its line and clears that.
const clearLine = "\r\x1b[2K"

// Write implements io.Writer.
func (s *screen) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clear()
	return s.w.Write(b)
}

// draw has a bar drawn, by who writes it to s.w.
func (s *screen) draw(bar func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.over {
		bar()
		s.drawn = true
	}
}

// end takes the bar away for good. Work that was interrupted may tell of itself even later.
func (s *screen) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clear()
	s.over = true
}

func (s *screen) clear() {
	if s.drawn {
		_, _ = io.WriteString(s.w, clearLine) // what can't be drawn is no reason to lose a line
		s.drawn = false
	}
}
