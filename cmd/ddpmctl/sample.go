package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/kernel"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/sampler"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/sampler/job"
	"github.com/ddpm-cluster/ddpm-cluster/internal/machine"
	"github.com/ddpm-cluster/ddpm-cluster/worker/sampling"
)

type sampleFlags struct {
	target      target
	n           int
	frames      int
	threads     int
	interpolate uint64
	config      sampler.Config
	out         sampleOutput
	admin       administrator
	detach      bool
}

func sampleCommand(stdout, stderr io.Writer) *cobra.Command {
	var f sampleFlags
	c := &cobra.Command{
		Use:   "sample",
		Short: "Draw images from a checkpoint",
		Long: "Sample draws images from a checkpoint's averaged weights. Image i depends on the weights,\n" +
			"the sampler's settings, the seed and i alone. --out names a PNG, which gets all images as a\n" +
			"grid, or a folder, which gets each image, grid.png, samples.npz and job.json.\n\n" +
			"With --join or --config a cluster's sampling pool draws them, the same files; without, this\n" +
			"machine does, from the Store alone.",
		Example: "  ddpmctl sample --storage ddpm-data --run digits --n 16 --seed 7 --out digits.png\n" +
			"  ddpmctl sample --storage ddpm-data --run digits --sampler ddim --steps 50 --n 1000 --out drawn\n" +
			"  ddpmctl sample --config admin.conf --run digits --sampler ddim --n 1000 --out drawn\n" +
			"  ddpmctl sample --storage ddpm-data --run digits --sampler ddim --seed 1 --interpolate 2 --n 9 --out between",
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error { return f.run(c, stdout, stderr) },
	}
	f.target.flags(c)
	f.out.flags(c)
	flags := c.Flags()
	f.admin.joinFlags(flags)
	flags.BoolVar(&f.detach, "detach", false, "in a cluster: print the job's id and wait for nothing; ddpmctl jobs fetch gets the files")
	flags.IntVar(&f.n, "n", 16, "how many `images`")
	flags.Uint64Var(&f.config.Seed, "seed", 0, "seed of the images")
	flags.StringVar(&f.config.Method, "sampler", sampler.Ancestral, strings.Join(sampler.Methods(), ", ")+"; ancestral is the paper's")
	flags.IntVar(&f.config.Steps, "steps", 0, "`timesteps` to visit (default: all for ancestral, 50 for ddim, 25 for heun, 20 for the others)")
	flags.StringVar(&f.config.Spacing, "spacing", "", "of the timesteps: "+strings.Join(sampler.Spacings(), ", ")+" (default: leading; trailing for heun, linspace for dpmpp_2m and unipc)")
	flags.Float64Var(&f.config.Eta, "eta", 0, "noise that ddim adds, 0 to 1")
	flags.StringVar(&f.config.Variance, "variance", "", "of ancestral: fixed_large or fixed_small (default: the run's)")
	flags.BoolVar(&f.config.Clip, "clip", true, "clip what each step predicts to the range of pixels; where it is not given, a run of an imported scheduler does as its clip_sample says")
	flags.Float64Var(&f.config.Guidance, "guidance", 1, "of a model with classes: how much its predictions are led towards the class; 1 not at all, 0 ignores the class")
	flags.IntSliceVar(&f.config.Classes, "class", nil, "of a model with classes: what to draw, dealt to the images in turn (default: all)")
	flags.IntVar(&f.frames, "trajectory", 0, "frames of trajectory.png, an animation of how the first images come to be")
	flags.Uint64Var(&f.interpolate, "interpolate", 0, "draw what lies between image 0 of --seed and image 0 of this seed; of a model with classes all of the one --class, 0 where none is named")
	flags.IntVar(&f.config.Batch, "batch", 0, "images that go through the network at once; changes no image (default: what memory and threads allow)")
	threadsFlag(flags, &f.threads, "`threads` to compute with")
	return c
}

func (f *sampleFlags) run(c *cobra.Command, stdout, stderr io.Writer) error {
	if err := f.validate(c); err != nil {
		return usageError{err}
	}
	ctx := c.Context()
	if f.admin.asked() {
		return f.inPool(c, stdout, stderr)
	}
	if f.detach {
		return usageError{errors.New("--detach: is for a cluster; give its --config or --join too")}
	}
	var weights []float32
	at, err := f.target.find(ctx, c, func(at found) (err error) {
		weights, err = sampling.LoadWeights(ctx, at.store, at.spec, at.manifest)
		return err
	})
	if err != nil {
		return err
	}
	j := f.request(c).Job(at.spec, at.manifest.Step, at.manifest.Digest)
	if err := j.Validate(at.spec); err != nil {
		return usageError{err}
	}
	if err := f.out.check(); err != nil { // again: it was long ago
		return usageError{err}
	}
	pool := kernel.NewPool(f.threads)
	defer pool.Close()
	batch := f.config.Batch
	if batch == 0 {
		batch = sampler.BatchFor(at.spec.Model, machine.AvailableMemory(), f.threads)
	}
	progress := func(job.Progress) {}
	if bar := progressBar(stderr, "sampling"); bar != nil {
		progress = func(p job.Progress) { bar(p.Done, p.Of) }
	}
	images, err := job.NewRunner(at.spec, sampler.NewModel(at.spec, weights, pool), batch).Run(ctx, j, job.Task{Count: j.N}, progress)
	if err != nil {
		return err
	}
	if err := f.out.write(j, at.spec.Model, images, stdout); err != nil {
		return err
	}
	fmt.Fprintf(f.out.said(stdout, stderr), "%s: %d images of run %s, step %d, seed %d\n", f.out.path, j.N, j.Run, j.Step, j.Settings.Seed)
	return nil
}

// validate looks at what needs no run, before anything is loaded.
func (f *sampleFlags) validate(c *cobra.Command) error {
	switch {
	case f.n < 1 || f.n > job.MaxImages:
		return fmt.Errorf("--n %d: must be in 1 … %d", f.n, job.MaxImages)
	case f.threads < 1:
		return fmt.Errorf("--threads %d: must be at least 1", f.threads)
	case f.config.Steps < 0:
		return fmt.Errorf("--steps %d: must be at least 1", f.config.Steps)
	case f.frames != 0 && f.out.picture():
		return fmt.Errorf("--trajectory: it is a file of its own; give --out a folder, not %s", f.out.path)
	case c.Flags().Changed("interpolate") && len(f.config.Classes) > 1:
		return fmt.Errorf("--class %v: with --interpolate all images are of one class; name one", f.config.Classes)
	case f.n > job.MaxGrid && f.out.picture():
		return fmt.Errorf("--n %d: a picture has %d images at most; give --out a folder, not %s", f.n, job.MaxGrid, f.out.path)
	}
	if f.admin.asked() && f.detach {
		return nil
	}
	return f.out.check()
}

// request is what the flags ask for; what they leave out follows the method and the
// run.
func (f *sampleFlags) request(c *cobra.Command) job.Request {
	s := f.config
	r := job.Request{
		Run: f.target.run, N: f.n, Sampler: s.Method, Spacing: s.Spacing, Eta: s.Eta, Variance: s.Variance,
		Guidance: &s.Guidance, Classes: s.Classes, Seed: s.Seed, Frames: f.frames,
		LeaveGrid: !f.out.picture() && !f.out.choice.Grid, LeaveNPZ: f.out.picture() || !f.out.choice.NPZ,
	}
	if c.Flags().Changed("step") {
		r.Step = &f.target.step
	}
	if c.Flags().Changed("clip") {
		r.Clip = &s.Clip
	}
	if c.Flags().Changed("steps") {
		r.Steps = &s.Steps
	}
	if c.Flags().Changed("interpolate") {
		r.EndSeed = &f.interpolate
	}
	return r
}
