package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/diffusion"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/kernel"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/sampler"
	"github.com/ddpm-cluster/ddpm-cluster/internal/picture"
	"github.com/ddpm-cluster/ddpm-cluster/storage/checkpoint"
)

// maxImages bounds one picture.
const maxImages = 4096

type sampleFlags struct {
	target  target
	n       int
	out     string
	threads int
	config  sampler.Config
}

func sampleCommand(stdout, stderr io.Writer) *cobra.Command {
	var f sampleFlags
	c := &cobra.Command{
		Use:   "sample",
		Short: "Draw images from a checkpoint into a PNG",
		Long: "Sample draws images from a checkpoint's averaged weights. Image i depends on the weights,\n" +
			"the sampler's settings, the seed and i alone.",
		Example: "  ddpmctl sample --storage ddpm-data --run digits --n 16 --seed 7 --out digits.png\n" +
			"  ddpmctl sample --storage ddpm-data --run digits --sampler ddim --steps 50 --out fast.png",
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error { return f.run(c, stdout, stderr) },
	}
	f.target.flags(c)
	c.Flags().IntVar(&f.n, "n", 16, "how many images")
	c.Flags().Uint64Var(&f.config.Seed, "seed", 0, "seed of the images")
	c.Flags().StringVar(&f.out, "out", "", "the PNG to write (needed)")
	c.Flags().StringVar(&f.config.Method, "sampler", sampler.Ancestral, "ancestral (the paper's) or ddim")
	c.Flags().IntVar(&f.config.Steps, "steps", 0, "network evaluations an image, best a divisor of the timesteps (default: all of them for ancestral, 50 for ddim)")
	c.Flags().Float64Var(&f.config.Eta, "eta", 0, "noise that ddim adds, 0 to 1")
	c.Flags().IntVar(&f.threads, "threads", runtime.NumCPU(), "threads")
	return c
}

func (f *sampleFlags) run(c *cobra.Command, stdout, stderr io.Writer) error {
	if err := f.validate(); err != nil {
		return usageError{err}
	}
	ctx := c.Context()
	var weights []float32
	at, err := f.target.find(ctx, c, func(at found) (err error) {
		weights, err = loadWeights(ctx, at)
		return err
	})
	if err != nil {
		return err
	}
	spec := at.spec
	f.defaultSteps(spec)
	if err := f.config.Validate(spec.Diffusion.Steps); err != nil {
		return usageError{err}
	}
	pool := kernel.NewPool(f.threads)
	defer pool.Close()
	images := make([]uint32, f.n)
	for i := range images {
		images[i] = uint32(i)
	}
	bar := progress(stderr)
	xs, err := sampler.Draw(ctx, sampler.NewNetwork(spec.Model, weights, pool), diffusion.NewTables(spec.Diffusion), f.config, spec.Model.ImageLen(), images, bar)
	if err != nil {
		return err
	}
	if err := f.write(spec, xs); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "%s: %d images of run %s, step %d, seed %d\n", f.out, f.n, f.target.run, at.manifest.Step, f.config.Seed)
	return nil
}

func (f *sampleFlags) validate() error {
	switch {
	case f.out == "":
		return fmt.Errorf("--out is needed: the PNG to write")
	case filepath.Ext(f.out) != ".png":
		return fmt.Errorf("--out %s: the name must end in .png", f.out)
	case f.n < 1 || f.n > maxImages:
		return fmt.Errorf("--n %d: must be in 1 … %d", f.n, maxImages)
	case f.threads < 1:
		return fmt.Errorf("--threads %d: must be at least 1", f.threads)
	}
	if info, err := os.Stat(filepath.Dir(f.out)); err != nil || !info.IsDir() {
		return fmt.Errorf("--out %s: there is no folder %s", f.out, filepath.Dir(f.out))
	}
	return nil
}

func (f *sampleFlags) defaultSteps(spec ddpm.Spec) {
	if f.config.Steps != 0 {
		return
	}
	f.config.Steps = spec.Diffusion.Steps
	if f.config.Method == sampler.DDIM {
		f.config.Steps = min(sampler.PreviewSteps, spec.Diffusion.Steps)
	}
}

// loadWeights reads a checkpoint's averaged weights in the order of the flat
// parameter vector.
func loadWeights(ctx context.Context, at found) ([]float32, error) {
	tensors, err := checkpoint.LoadEMA(ctx, at.store, at.manifest)
	if err != nil {
		return nil, err
	}
	weights := make([]float32, at.spec.Model.ParamCount())
	for _, p := range at.spec.Model.Params() {
		t, ok := tensors[p.Name]
		if !ok || len(t.Data) != p.Len() {
			return nil, fmt.Errorf("%s%s: %w: it has %d elements of %s, the run's config wants %d",
				checkpoint.StepPrefix(at.manifest.Run, at.manifest.Step), checkpoint.UNetWeightsKey, checkpoint.ErrCorrupt, len(t.Data), p.Name, p.Len())
		}
		copy(weights[p.Offset:], t.Data)
	}
	return weights, nil
}

// progress shows a bar on a terminal, and nothing elsewhere.
func progress(stderr io.Writer) func(done, of int) {
	file, ok := stderr.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return nil
	}
	var bar *progressbar.ProgressBar
	return func(done, of int) {
		if bar == nil {
			bar = progressbar.NewOptions(of, progressbar.OptionSetWriter(stderr), progressbar.OptionSetDescription("sampling"),
				progressbar.OptionShowCount(), progressbar.OptionSetPredictTime(true), progressbar.OptionClearOnFinish())
		}
		_ = bar.Set(done) // a bar that can't be drawn is no reason to stop
	}
}

func (f *sampleFlags) write(spec ddpm.Spec, xs [][]float32) error {
	pixels := make([][]uint8, len(xs))
	for i, x := range xs {
		pixels[i] = sampler.Pixels(x)
	}
	png, err := picture.Grid(pixels, spec.Model.Size, spec.Model.InChannels)
	if err != nil {
		return err
	}
	return writePicture(f.out, png)
}
