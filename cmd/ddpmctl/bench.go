package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/dataset"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/kernel"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/sampler"
	"github.com/ddpm-cluster/ddpm-cluster/internal/cpulevel"
	"github.com/ddpm-cluster/ddpm-cluster/internal/hugepages"
)

// bench is what a benchmark is of.
type bench struct {
	preset                string
	batch, threads, steps int
	json                  bool
}

// benchResult is what one found, in the order of its JSON.
type benchResult struct {
	Preset         string         `json:"preset"`
	Params         int            `json:"params"`
	Batch          int            `json:"batch"`
	Threads        int            `json:"threads"`
	Level          cpulevel.Level `json:"level"`
	SecondsPerStep float64        `json:"seconds_per_step"`
	ImagesPerSec   float64        `json:"images_per_second"`
	GFLOPS         float64        `json:"gflops"`
	PeakRSS        int64          `json:"peak_rss_bytes"`
}

func benchCommand(stdin io.Reader, stdout, stderr io.Writer) *cobra.Command {
	c := &cobra.Command{
		Use:     "bench",
		Example: "  ddpmctl bench step --preset cifar10\n  ddpmctl bench kernels",
		Short:   "Measure this machine",
		Args:    ownCommands,
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(benchModelCommand(stdout, &cobra.Command{
		Use:   "step",
		Short: "Time a training step of one worker",
		Long: "Step trains on drawn images and prints the median time of a step: noise, forward pass, L_simple,\n" +
			"backward pass, Adam and moving average. GFLOP/s count a convolution as its direct sum, whatever\n" +
			"the algorithm.",
		Example: "  ddpmctl bench step --preset cifar10 --batch 8 --threads 1 --steps 10",
	}, bench.step))
	c.AddCommand(benchModelCommand(stdout, &cobra.Command{
		Use:   "sample",
		Short: "Time drawing images by DDIM",
		Long: "Sample draws a batch by DDIM in --steps steps with weights that were never trained, and prints the\n" +
			"median time of a step: the network's forward pass and the sampler's own arithmetic. Images/s count\n" +
			"steps of an image, so a drawn image takes --steps of them.",
		Example: "  ddpmctl bench sample --preset cifar10 --batch 8 --threads 2 --steps 50",
	}, bench.sample))
	c.AddCommand(benchKernelsCommand(stdout), benchAllReduceCommand(stdin, stdout), benchWireCommand(stdout), benchClusterCommand(stdout), benchCoordinatorCommand(stdout, stderr))
	return c
}

// benchModelCommand completes the command of a benchmark of a preset's network.
func benchModelCommand(stdout io.Writer, c *cobra.Command, measure func(bench, context.Context) (benchResult, error)) *cobra.Command {
	var b bench
	c.Args = noArguments
	c.RunE = func(c *cobra.Command, _ []string) error {
		r, err := measure(b, c.Context())
		if err != nil {
			return err
		}
		return r.print(stdout, b.json)
	}
	f := c.Flags()
	f.StringVar(&b.preset, "preset", "cifar10", "the model and its training")
	f.IntVar(&b.batch, "batch", 8, "images of a step")
	threadsFlag(f, &b.threads, "`threads` to compute with")
	f.IntVar(&b.steps, "steps", 10, "steps to time, after one that is not")
	f.BoolVar(&b.json, "json", false, "print JSON")
	return c
}

// spec returns the preset with one shard of the batch.
func (b bench) spec() (ddpm.Spec, error) {
	p, err := ddpm.FindPreset(b.preset)
	if err != nil {
		return ddpm.Spec{}, usageError{err}
	}
	if b.batch < 1 || b.threads < 1 || b.steps < 1 {
		return ddpm.Spec{}, usageError{fmt.Errorf("--batch %d --threads %d --steps %d: all must be at least 1", b.batch, b.threads, b.steps)}
	}
	s := p.Spec
	s.Batch, s.ShardSize = b.batch, b.batch
	return s, nil
}

// step times training steps as a worker with one shard makes them.
func (b bench) step(ctx context.Context) (benchResult, error) {
	s, err := b.spec()
	if err != nil {
		return benchResult{}, err
	}
	data, err := dataset.Open(ctx, "glyphs://?n=1024", ddpm.Want(s.Model))
	if err != nil {
		return benchResult{}, err
	}
	s.DatasetLen = data.Len()
	pool := kernel.NewPool(b.threads)
	defer pool.Close()
	device, state := ddpm.NewCPU(s, data, pool), ddpm.NewState(s)
	grad := hugepages.Make[float32](len(state.Weights))
	return b.measure(ctx, s, 3, func() error {
		device.Begin(state.Weights)
		if _, err := device.Gradient(ddpm.PlanStep(s, state.Step).Shard(0), grad, nil); err != nil {
			return err
		}
		state.Update(s, pool, grad)
		return nil
	})
}

// sample times the steps of a drawing by DDIM.
func (b bench) sample(ctx context.Context) (benchResult, error) {
	s, err := b.spec()
	if err != nil {
		return benchResult{}, err
	}
	pool := kernel.NewPool(b.threads)
	defer pool.Close()
	model := sampler.NewModel(s, ddpm.NewState(s).Weights, pool)
	images := make([]uint32, b.batch)
	for i := range images {
		images[i] = uint32(i)
	}
	c := sampler.Defaults(sampler.DDIM, s.Diffusion)
	c.Batch = b.batch
	c.Spacing = sampler.Trailing // of one step too
	// One step first: it lays out the weights and finds how much memory a pass needs.
	c.Steps = 1
	if _, err := sampler.Draw(ctx, model, c, images, sampler.Watch{}); err != nil {
		return benchResult{}, err
	}
	c.Steps = b.steps
	times, last := []float64(nil), time.Now()
	_, err = sampler.Draw(ctx, model, c, images, sampler.Watch{Evaluated: func(int, int) {
		now := time.Now()
		times, last = append(times, now.Sub(last).Seconds()), now
	}})
	if err != nil {
		return benchResult{}, err
	}
	return b.result(s, 1, times), nil
}

// measure times a step, which makes so many times a forward pass' sums.
func (b bench) measure(ctx context.Context, s ddpm.Spec, passes float64, step func() error) (benchResult, error) {
	var times []float64
	for range b.steps + 1 {
		if err := ctx.Err(); err != nil {
			return benchResult{}, err
		}
		start := time.Now()
		if err := step(); err != nil {
			return benchResult{}, err
		}
		times = append(times, time.Since(start).Seconds())
	}
	// The first step finds out how much memory the others need.
	return b.result(s, passes, times[1:]), nil
}

// result is that of steps that took so long.
func (b bench) result(s ddpm.Spec, passes float64, times []float64) benchResult {
	median := median(times)
	return benchResult{
		Preset: b.preset, Params: s.Model.ParamCount(), Batch: b.batch, Threads: b.threads, Level: cpulevel.Active(),
		SecondsPerStep: median,
		ImagesPerSec:   float64(b.batch) / median,
		GFLOPS:         passes * 2 * float64(s.Model.MACs()) * float64(b.batch) / median / 1e9,
		PeakRSS:        peakRSS(),
	}
}

func median(times []float64) float64 {
	slices.Sort(times)
	n := len(times)
	return (times[(n-1)/2] + times[n/2]) / 2
}

func (r benchResult) print(w io.Writer, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(r)
	}
	fmt.Fprintf(w, "%s, %d parameters, batch %d, %d threads, %s\n", r.Preset, r.Params, r.Batch, r.Threads, r.Level)
	fmt.Fprintf(w, "%.3f s a step (median), %.2f images/s, %.1f GFLOP/s, %.0f MiB at most\n",
		r.SecondsPerStep, r.ImagesPerSec, r.GFLOPS, float64(r.PeakRSS)/(1<<20))
	return nil
}
