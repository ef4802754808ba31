package main

import (
	"bytes"
	"context"
	"strings"
	"testing"
)

// What is written takes the bar's line, and the bar comes back below; at the end it is gone,
// whatever work still tells of itself.
func TestScreen(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	s := &screen{w: &out}
	bar := sayingBar(s)
	wrote := func(want string) {
		t.Helper()
		if got := out.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		out.Reset()
	}
	_, _ = s.Write([]byte("before\n"))
	wrote("before\n")
	bar(1, 9, "drawing")
	if !strings.Contains(out.String(), "drawing") {
		t.Errorf("no bar: %q", out.String())
	}
	out.Reset()
	_, _ = s.Write([]byte("a line\n"))
	wrote(clearLine + "a line\n")
	_, _ = s.Write([]byte("another\n"))
	wrote("another\n")
	bar(2, 9, "drawing")
	if !strings.Contains(out.String(), "2/9") {
		t.Errorf("no bar: %q", out.String())
	}
	out.Reset()
	s.end()
	wrote(clearLine)
	bar(3, 9, "drawing")
	_, _ = s.Write([]byte("interrupted\n"))
	wrote("interrupted\n")
}

// onBar calls something once a bar is drawn.
type onBar struct {
	text  []byte
	drawn func()
}

func (o *onBar) Write(b []byte) (int, error) {
	if bytes.Contains(b, []byte("(0/9)")) {
		o.drawn()
	}
	o.text = append(o.text, b...)
	return len(b), nil
}

// An interrupt ends the bar before it says so.
func TestInterruptedBar(t *testing.T) {
	t.Parallel()
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	out := &onBar{drawn: interrupt}
	at := endless{watched: func() {}}.serve(t)
	var stdout bytes.Buffer
	if code := run(ctx, []string{"jobs", "watch", "j1", "--join", at, "--insecure"}, &stdout, &screen{w: out}); code != exitInterrupted {
		t.Errorf("exit code %d", code)
	}
	if _, last, ok := strings.Cut(string(out.text), clearLine); !ok || !strings.HasPrefix(last, "ddpmctl: interrupted; job j1 goes on") {
		t.Errorf("the terminal has %q", out.text)
	}
}
