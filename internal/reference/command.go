package reference

import (
	"fmt"

	"github.com/spf13/cobra"
)

// Add gives a program the commands that write its reference: man for those who
// install it, and a hidden one for docs/cli.md. usage marks a mistake of the caller's.
func Add(root *cobra.Command, version string, usage func(error) error) {
	root.AddCommand(&cobra.Command{
		Use:     "man DIR",
		Short:   "Write man pages of all commands into a folder",
		Example: "  " + root.Name() + " man ~/.local/share/man/man1",
		Args: func(c *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usage(fmt.Errorf("give one argument, the folder to write into; see %s --help", c.CommandPath()))
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error { return Man(args[0], root, version) },
	}, &cobra.Command{
		Use:    "markdown",
		Short:  "Print the reference of all commands",
		Hidden: true,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usage(fmt.Errorf("unexpected argument %q; see %s --help", args[0], c.CommandPath()))
			}
			return nil
		},
		RunE: func(c *cobra.Command, _ []string) error { return Markdown(c.OutOrStdout(), root) },
	})
}
