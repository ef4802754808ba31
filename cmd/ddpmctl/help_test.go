package main

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// Each command has an example in its help.
func TestExamples(t *testing.T) {
	var check func(c *cobra.Command)
	check = func(c *cobra.Command) {
		if c.Example == "" {
			t.Errorf("%s has no example", c.CommandPath())
		}
		for _, child := range c.Commands() {
			if !child.Hidden {
				check(child)
			}
		}
	}
	check(command(io.Discard, io.Discard))
}

// Each group of commands refuses what is none of them, and asks whether one like it was
// meant.
func TestUnknownCommands(t *testing.T) {
	refuses := func(path []string, word, want string) {
		t.Helper()
		var stdout, stderr bytes.Buffer
		code := run(t.Context(), append(path, word), &stdout, &stderr)
		if code != exitUsage || !strings.Contains(stderr.String(), want) || stdout.Len() > 0 {
			t.Errorf("%q %s: exit code %d, %s%s", path, word, code, &stderr, &stdout)
		}
	}
	var check func(c *cobra.Command)
	check = func(c *cobra.Command) {
		children := c.Commands()
		if len(children) == 0 {
			return
		}
		path := strings.Fields(c.CommandPath())[1:]
		refuses(path, "foo", `unknown command "foo"; see `+c.CommandPath()+" --help")
		refuses(path, children[0].Name()+"x", "(did you mean "+children[0].Name())
		for _, child := range children {
			check(child)
		}
	}
	check(command(io.Discard, io.Discard))
}

// What a command can't do without is marked so.
func TestNeeded(t *testing.T) {
	for path, flags := range map[string][]string{
		"checkpoints delete": {"step"},
		"checkpoints import": {"from", "run"},
	} {
		c, _, err := command(io.Discard, io.Discard).Find(strings.Fields(path))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range flags {
			if usage := c.Flags().Lookup(name).Usage; !strings.HasSuffix(usage, "(needed)") {
				t.Errorf("%s --%s: %s", path, name, usage)
			}
		}
		var stdout, stderr bytes.Buffer
		if code := run(t.Context(), strings.Fields(path), &stdout, &stderr); code != exitUsage || !strings.Contains(stderr.String(), "needed") {
			t.Errorf("%s: exit code %d, %s", path, code, &stderr)
		}
	}
}
