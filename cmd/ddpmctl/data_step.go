package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/ddpm-cluster/ddpm-cluster/coordinator/report"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/dataset"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/dataset/packed"
	"github.com/ddpm-cluster/ddpm-cluster/storage"
)

func dataStepCommand(stdout io.Writer) *cobra.Command {
	var t target
	var n int
	var asJSON bool
	c := &cobra.Command{
		Use:   "step",
		Short: "Say what a step of a run trains on: examples, timesteps, and their noised versions",
		Long: "Asks nobody: the plan of a step is a function of the run's config and its dataset. --json also\n" +
			"has each example's image and its noised version (x0 and xt), as PNG in base64, as the dashboard\n" +
			"shows them.",
		Example: "  ddpmctl data step --run digits --step 1000\n  ddpmctl data step --step 0 --n 4 --json",
		Args:    noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			if n < 1 || n > report.MaxExamples {
				return usageError{fmt.Errorf("--n %d: must be in 1 … %d", n, report.MaxExamples)}
			}
			f, err := t.open(c.Context())
			if err != nil {
				return err
			}
			places := dataset.Places{Stores: func(ctx context.Context, uri string) (packed.Store, error) { return storage.OpenBlobs(ctx, uri) }, Run: storage.AsBlobs(f.store)}
			data, err := places.Open(c.Context(), f.spec.Dataset, ddpm.Want(f.spec.Model))
			if err != nil {
				return err
			}
			defer closing(c.Context(), data)()
			e, err := report.Examples(t.run, f.spec, data, t.step, n)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(stdout, e)
			}
			return printStep(stdout, e)
		},
	}
	t.runFlags(c)
	c.Flags().Uint64Var(&t.step, "step", 0, "the step that follows so many complete ones")
	c.Flags().IntVar(&n, "n", 24, "how many examples of its batch, the first ones")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func printStep(stdout io.Writer, e *report.StepExamples) error {
	w := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "SLOT\tSHARD\tEXAMPLE\tT\tALPHA BAR\tMIRRORED\tCLASS")
	for _, x := range e.Examples {
		class := "–"
		if x.Class >= 0 {
			class = fmt.Sprint(x.Class)
		}
		fmt.Fprintf(w, "%d\t%d\t%d\t%d\t%.4f\t%t\t%s\n", x.Slot, x.Shard, x.Index, x.T, x.AlphaBar, x.Flip, class)
	}
	return w.Flush()
}
