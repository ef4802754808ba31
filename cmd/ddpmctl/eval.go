package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/evaluate"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/kernel"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/sampler"
	"github.com/ddpm-cluster/ddpm-cluster/internal/machine"
	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
	"github.com/ddpm-cluster/ddpm-cluster/worker/sampling"
)

func evalCommand(stdout, stderr io.Writer) *cobra.Command {
	c := &cobra.Command{
		Use:     "eval",
		Example: "  ddpmctl eval loss --run digits --dataset 'glyphs://?seed=2' --n 200",
		Short:   "Measure a checkpoint on held-out images",
		Long: "Eval measures a checkpoint's averaged weights. With --join or --config a cluster's sampling pool does,\n" +
			"to the same bytes of the report; without, this machine does, from the Store alone.",
		Args: ownCommands,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	nll := evalFlags{print: printNLL}
	c.AddCommand(nll.command(stdout, stderr, &cobra.Command{
		Use:   "nll",
		Short: "Bound the negative log-likelihood, in bits a dimension",
		Long: "Nll sums the variational bound over all timesteps, or over --terms of them: a sample that is\n" +
			"unbiased, and whose error the standard error holds. It prints rate and distortion by t.",
		Example: "  ddpmctl eval nll --run digits --dataset 'glyphs://?seed=2' --n 100 --terms 50\n" +
			"  ddpmctl eval nll --config admin.conf --run digits --dataset 'glyphs://?seed=2' --n 100",
		Args: noArguments,
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
	admin   administrator
	request evaluate.Request
	threads int
	detach  bool
	json    bool
	print   func(io.Writer, evaluate.Report)
}

// command gives a command its flags; terms 0 stands for all timesteps.
func (f *evalFlags) command(stdout, stderr io.Writer, c *cobra.Command, terms, bins int) *cobra.Command {
	f.target.flags(c)
	f.admin.joinFlags(c.Flags())
	c.Flags().BoolVar(&f.detach, "detach", false, "in a cluster: print the job's id and wait for nothing; ddpmctl jobs fetch gets the report")
	c.Flags().StringVar(&f.request.Dataset, "dataset", "", "the held-out images: as for training, other ones (needed)")
	c.Flags().IntVar(&f.request.N, "n", 100, fmt.Sprintf("how many `images`, the first of the dataset, 2 to %d", evaluate.MaxImages))
	c.Flags().IntVar(&f.request.Terms, "terms", terms, "timesteps to evaluate for each image, spread over all (0: every one)")
	c.Flags().IntVar(&f.request.Bins, "bins", bins, "rows over t")
	c.Flags().StringVar(&f.request.Variance, "variance", "", "of the reverse process: fixed_large or fixed_small (default: the run's)")
	c.Flags().Uint64Var(&f.request.Seed, "seed", 0, "seed of the noise")
	c.Flags().BoolVar(&f.json, "json", false, "print the whole report as JSON")
	threadsFlag(c.Flags(), &f.threads, "`threads` to compute with")
	c.RunE = func(c *cobra.Command, _ []string) error { return f.run(c, stdout, stderr) }
	return c
}

func (f *evalFlags) run(c *cobra.Command, stdout, stderr io.Writer) error {
	switch {
	case f.request.Dataset == "":
		return usageError{errors.New("--dataset is needed: images that the run was not trained on, as MNIST's t10k files or glyphs:// with another seed")}
	case f.request.N < 2 || f.request.N > evaluate.MaxImages:
		return usageError{fmt.Errorf("--n %d: must be in 2 … %d", f.request.N, evaluate.MaxImages)}
	case f.threads < 1:
		return usageError{fmt.Errorf("--threads %d: must be at least 1", f.threads)}
	case f.detach && !f.admin.asked():
		return usageError{errors.New("--detach: is for a cluster; give its --config or --join too")}
	}
	measure := f.alone
	if f.admin.asked() {
		measure = f.inPool
	}
	text, err := measure(c, stdout, stderr)
	if err != nil || text == nil {
		return err
	}
	if f.json {
		_, err := stdout.Write(text)
		return err
	}
	report, err := evaluate.DecodeReport(text)
	if err != nil {
		return err
	}
	j := report.Job
	fmt.Fprintf(stdout, "run %s, step %d, %d images of %s, %d timesteps each\n", j.Run, j.Step, j.N, j.Dataset, j.Terms)
	f.print(stdout, report)
	return nil
}

// inPool has a cluster measure and gives the report's bytes; nil where nobody waits.
func (f *evalFlags) inPool(c *cobra.Command, stdout, stderr io.Writer) ([]byte, error) {
	if c.Flags().Changed("threads") {
		return nil, usageError{errors.New("--threads: in a cluster each worker chooses for itself; leave it out")}
	}
	if f.target.run == "" {
		return nil, usageError{errors.New("--run is needed: whose checkpoint to measure")}
	}
	q := f.request
	q.Run = f.target.run
	if c.Flags().Changed("step") {
		q.Step = &f.target.step
	}
	request, err := json.Marshal(q)
	if err != nil {
		return nil, fmt.Errorf("encode the request: %w", err)
	}
	s, err := f.admin.submit(c.Context(), &ddpmv1.SubmitJobRequest{Evaluation: request}, f.detach, stdout, stderr)
	if err != nil || f.detach {
		return nil, err
	}
	store, err := resultStore(c.Context(), s, f.target.storageGiven(c))
	if err != nil {
		return nil, err
	}
	return read(c.Context(), store, s.GetPrefix()+evaluate.ReportName)
}

// alone measures on this machine and gives the report's bytes.
func (f *evalFlags) alone(c *cobra.Command, _, stderr io.Writer) ([]byte, error) {
	ctx := c.Context()
	var weights []float32
	at, err := f.target.find(ctx, c, func(at found) (err error) {
		weights, err = sampling.LoadWeights(ctx, at.store, at.spec, at.manifest)
		return err
	})
	if err != nil {
		return nil, err
	}
	data, err := sampling.OpenHeldOut(ctx, at.store, at.spec, f.request.Dataset)
	if err != nil {
		return nil, err
	}
	defer closing(ctx, data)()
	if data.Digest() == at.spec.DatasetDigest {
		fmt.Fprintln(stderr, "note: the run was trained on these images; they are not held out")
	}
	q := f.request
	q.Run = f.target.run
	j := q.Job(at.spec, at.manifest.Step, at.manifest.Digest)
	j.Dataset, j.DatasetDigest = data.URI(), data.Digest()
	if err = j.Validate(at.spec.Diffusion, data.Len()); err == nil {
		err = j.CheckLabels(at.spec, data)
	}
	if err != nil {
		return nil, usageError{err}
	}
	pool := kernel.NewPool(f.threads)
	defer pool.Close()
	batch := sampler.BatchFor(at.spec.Model, machine.AvailableMemory(), f.threads)
	runner := evaluate.NewRunner(at.spec, sampler.NewModel(at.spec, weights, pool), data, batch)
	results, err := runner.Run(ctx, j, evaluate.Task{Count: j.N}, progressBar(stderr, "evaluating"))
	if err != nil {
		return nil, err
	}
	report, err := evaluate.Reduce(j, at.spec.Diffusion.Steps, results)
	if err != nil {
		return nil, err
	}
	return report.Encode()
}

// notMeasured is printed for a row whose timesteps no image drew.
const notMeasured = "-"

func printNLL(w io.Writer, r evaluate.Report) {
	rate := r.Lines[0].Rate // of all terms but L_0
	fmt.Fprintf(w, "at most %.4f ± %.4f bits/dim (L_T %.2g, L_0 %.4f, between %.4f)\n\n%12s %12s %12s %10s\n",
		r.Total.Mean, r.Total.Error, r.Prior, r.Total.Mean-rate, rate-r.Prior, "t", "bits/dim", "rate", "RMSE")
	for _, l := range r.Lines {
		bits, rmse := notMeasured, notMeasured
		if l.Bits != nil {
			bits = fmt.Sprintf("%.5f", l.Bits.Mean)
		}
		if l.RMSE != nil {
			rmse = fmt.Sprintf("%.2f", *l.RMSE)
		}
		fmt.Fprintf(w, "%12s %12s %12.5f %10s\n", span(l), bits, l.Rate, rmse)
	}
}

func printLoss(w io.Writer, r evaluate.Report) {
	fmt.Fprintf(w, "L_simple %.5f ± %.5f\n\n%12s %12s %12s\n", r.Loss.Mean, r.Loss.Error, "t", "L_simple", "±")
	for _, l := range r.Lines {
		loss, e := notMeasured, notMeasured
		if l.Loss != nil {
			loss, e = fmt.Sprintf("%.5f", l.Loss.Mean), fmt.Sprintf("%.5f", l.Loss.Error)
		}
		fmt.Fprintf(w, "%12s %12s %12s\n", span(l), loss, e)
	}
}

func span(l evaluate.Line) string {
	if l.First == l.Last {
		return fmt.Sprint(l.First)
	}
	return fmt.Sprintf("%d-%d", l.First, l.Last)
}
