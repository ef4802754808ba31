package reference

import (
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// page is what a command says of itself.
type page struct {
	path, synopsis string
	short, long    string
	example        string
	flags          []Flag
	below          []string // the paths of its commands
}

// pages are those of a command and of all below it that are not hidden, the shell's
// completion and help left out, which every program has.
func pages(c *cobra.Command) []page {
	c.InitDefaultHelpFlag()
	c.InitDefaultVersionFlag()
	p := page{path: c.CommandPath(), synopsis: synopsis(c), short: c.Short, long: c.Long, example: unindented(c.Example)}
	c.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden && f.Name != "help" && f.Name != "version" {
			p.flags = append(p.flags, Describe(f))
		}
	})
	c.InheritedFlags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			p.flags = append(p.flags, Describe(f))
		}
	})
	var rest []page
	for _, child := range c.Commands() {
		if child.Hidden || child.Name() == "completion" || child.Name() == "help" {
			continue
		}
		p.below = append(p.below, child.CommandPath())
		rest = append(rest, pages(child)...)
	}
	return append([]page{p}, rest...)
}

func synopsis(c *cobra.Command) string {
	if len(c.Commands()) > 0 && c.HasParent() {
		return c.CommandPath() + " COMMAND"
	}
	return c.UseLine()
}

// unindented takes the two blanks away that help has before each example.
func unindented(text string) string {
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		lines[i] = strings.TrimPrefix(l, "  ")
	}
	return strings.Join(lines, "\n")
}
