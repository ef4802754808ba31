package main

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

// checkpointsCommand groups what looks after a run's checkpoints.
func checkpointsCommand(stdout, stderr io.Writer) *cobra.Command {
	c := &cobra.Command{
		Use:     "checkpoints",
		Example: "  ddpmctl checkpoints list --storage ddpm-data --run digits",
		Aliases: []string{"checkpoint"},
		Short:   "List, show, verify, export, import and delete checkpoints",
		Args:    ownCommands,
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(
		listCommand(stdout), showCommand(stdout), verifyCommand(stdout, stderr),
		exportCommand(stdout, stderr), importCommand(stdout), deleteCommand(stdout, stderr),
	)
	return c
}

// output is how a command prints: for people, or for programs.
type output struct {
	stdout io.Writer
	json   bool
}

func (o *output) flags(c *cobra.Command) {
	c.Flags().BoolVar(&o.json, "json", false, "print JSON")
}

// print prints v as JSON, or has people's text printed.
func (o *output) print(v any, text func()) error {
	if !o.json {
		text()
		return nil
	}
	e := json.NewEncoder(o.stdout)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// size is a number of bytes for people.
func size(bytes int64) string {
	v, units := float64(bytes), []string{"B", "KiB", "MiB", "GiB", "TiB"}
	i := 0
	for ; v >= 1024 && i < len(units)-1; i++ {
		v /= 1024
	}
	if i == 0 {
		return fmt.Sprintf("%d B", bytes)
	}
	return fmt.Sprintf("%.1f %s", v, units[i])
}
