package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/dataset"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/evaluate"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/kernel"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/sampler"
	"github.com/ddpm-cluster/ddpm-cluster/internal/machine"
	"github.com/ddpm-cluster/ddpm-cluster/worker/sampling"
)

func evalCommand(stdout, stderr io.Writer) *cobra.Command {
	c := &cobra.Command{
		Use:     "eval",
		Example: "  ddpmctl eval loss --run digits --dataset 'glyphs://?seed=2' --n 200",
		Short:   "Measure a checkpoint on held-out images",
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	nll := evalFlags{print: printNLL}
	c.AddCommand(nll.command(stdout, stderr, &cobra.Command{
		Use:   "nll",
		Short: "Bound the negative log-likelihood, in bits a dimension",
		Long: "Nll sums the variational bound over all timesteps, or over --terms of them: a sample that is\n" +
			"unbiased, and whose error the standard error holds. It prints rate and distortion by t.",
		Example: "  ddpmctl eval nll --run digits --dataset 'glyphs://?seed=2' --n 100 --terms 50",
		Args:    noArguments,
	}, 0, 10))
	loss := evalFlags{print: printLoss}
	c.AddCommand(loss.command(stdout, stderr, &cobra.Command{
		Use:     "loss",
		Short:   "Measure L_simple by timesteps",
		Long:    "Loss measures the mean squared error of the predicted noise in bins of t.",
		Example: "  ddpmctl eval loss --run digits --dataset 'glyphs://?seed=2' --n 200",
		Args:    noArguments,
	}, 41, 10))
	return c
}

type evalFlags struct {
	target  target
	job     evaluate.Job
	threads int
	json    bool
	print   func(io.Writer, evaluate.Report)
}

// command gives a command its flags; terms 0 stands for all timesteps.
func (f *evalFlags) command(stdout, stderr io.Writer, c *cobra.Command, terms, bins int) *cobra.Command {
	f.target.flags(c)
	c.Flags().StringVar(&f.job.Dataset, "dataset", "", "the held-out images: as for training, other ones (needed)")
	c.Flags().IntVar(&f.job.N, "n", 100, "how many images, the first of the dataset")
	c.Flags().IntVar(&f.job.Terms, "terms", terms, "timesteps to evaluate for each image, spread over all (0: every one)")
	c.Flags().IntVar(&f.job.Bins, "bins", bins, "rows over t")
	c.Flags().StringVar(&f.job.Variance, "variance", "", "of the reverse process: fixed_large or fixed_small (default: the run's)")
	c.Flags().Uint64Var(&f.job.Seed, "seed", 0, "seed of the noise")
	c.Flags().BoolVar(&f.json, "json", false, "print the whole report as JSON")
	threadsFlag(c.Flags(), &f.threads, "`threads` to compute with")
	c.RunE = func(c *cobra.Command, _ []string) error { return f.run(c, stdout, stderr) }
	return c
}

func (f *evalFlags) run(c *cobra.Command, stdout, stderr io.Writer) error {
	switch {
	case f.job.Dataset == "":
		return usageError{errors.New("--dataset is needed: images that the run was not trained on, as MNIST's t10k files or glyphs:// with another seed")}
	case f.threads < 1:
		return usageError{fmt.Errorf("--threads %d: must be at least 1", f.threads)}
	}
	ctx := c.Context()
	var weights []float32
	at, err := f.target.find(ctx, c, func(at found) (err error) {
		weights, err = sampling.LoadWeights(ctx, at.store, at.spec, at.manifest)
		return err
	})
	if err != nil {
		return err
	}
	data, err := dataset.Open(ctx, f.job.Dataset, ddpm.Want(at.spec.Model))
	if err != nil {
		return err
	}
	if data.Digest() == at.spec.DatasetDigest {
		fmt.Fprintln(stderr, "note: the run was trained on these images; they are not held out")
	}
	j := f.job
	j.Dataset, j.DatasetDigest = data.URI(), data.Digest()
	if j.Terms == 0 {
		j.Terms = at.spec.Diffusion.Steps
	}
	if j.Variance == "" {
		j.Variance = at.spec.Diffusion.Variance
	}
	if err := j.Validate(at.spec.Diffusion, data.Len()); err != nil {
		return usageError{err}
	}
	pool := kernel.NewPool(f.threads)
	defer pool.Close()
	batch := sampler.BatchFor(at.spec.Model, machine.AvailableMemory(), f.threads)
	results, err := evaluate.NewRunner(at.spec, weights, data, pool, batch).Run(ctx, j, evaluate.Task{Count: j.N}, progressBar(stderr, "evaluating"))
	if err != nil {
		return err
	}
	report, err := evaluate.Reduce(j, at.spec.Diffusion.Steps, results)
	if err != nil {
		return err
	}
	if f.json {
		e := json.NewEncoder(stdout)
		e.SetIndent("", "  ")
		return e.Encode(report)
	}
	fmt.Fprintf(stdout, "run %s, step %d, %d images of %s, %d timesteps each\n", f.target.run, at.manifest.Step, j.N, j.Dataset, j.Terms)
	f.print(stdout, report)
	return nil
}

func printNLL(w io.Writer, r evaluate.Report) {
	fmt.Fprintf(w, "at most %.4f ± %.4f bits/dim (L_T %.2g, L_0 %.4f, between %.4f)\n\n%12s %12s %12s %10s\n",
		r.Total.Mean, r.Total.Error, r.Prior, r.Lines[0].Bits.Mean, r.Lines[0].Rate-r.Prior, "t", "bits/dim", "rate", "RMSE")
	for _, l := range r.Lines {
		fmt.Fprintf(w, "%12s %12.5f %12.5f %10.2f\n", span(l), l.Bits.Mean, l.Rate, l.RMSE)
	}
}

func printLoss(w io.Writer, r evaluate.Report) {
	fmt.Fprintf(w, "L_simple %.5f ± %.5f\n\n%12s %12s %12s\n", r.Loss.Mean, r.Loss.Error, "t", "L_simple", "±")
	for _, l := range r.Lines {
		fmt.Fprintf(w, "%12s %12.5f %12.5f\n", span(l), l.Loss.Mean, l.Loss.Error)
	}
}

func span(l evaluate.Line) string {
	if l.First == l.Last {
		return fmt.Sprint(l.First)
	}
	return fmt.Sprintf("%d-%d", l.First, l.Last)
}
