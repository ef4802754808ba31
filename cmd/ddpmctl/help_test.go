package main

import (
	"io"
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
