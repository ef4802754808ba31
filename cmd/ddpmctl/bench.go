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
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/rng"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/sampler"
	"github.com/ddpm-cluster/ddpm-cluster/internal/cpulevel"
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

func benchCommand(stdin io.Reader, stdout io.Writer) *cobra.Command {
	c := &cobra.Command{
		Use:   "bench",
		Short: "Measure this machine",
		Args:  noArguments,
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
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
		Short: "Time the network's forward pass, one step of sampling",
		Long: "Sample draws nothing: it prints the median time of the network's forward pass on noise, which is what\n" +
			"a step of a sampler takes, and the images that go through it a second.",
		Example: "  ddpmctl bench sample --preset cifar10 --batch 8 --threads 1 --steps 10",
	}, bench.sample))
	c.AddCommand(benchKernelsCommand(stdout), benchAllReduceCommand(stdin, stdout))
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
	grad := make([]float32, len(state.Weights))
	return b.measure(ctx, s, 3, func() error {
		device.Begin(state.Weights)
		if _, err := device.Gradient(ddpm.PlanStep(s, state.Step).Shard(0), grad); err != nil {
			return err
		}
		state.Update(s, pool, grad)
		return nil
	})
}

// sample times forward passes as a sampler makes them.
func (b bench) sample(ctx context.Context) (benchResult, error) {
	s, err := b.spec()
	if err != nil {
		return benchResult{}, err
	}
	pool := kernel.NewPool(b.threads)
	defer pool.Close()
	net := sampler.NewNetwork(s.Model, ddpm.NewState(s).Weights, pool)
	x, t := make([]float32, b.batch*s.Model.ImageLen()), make([]int, b.batch)
	rng.Normals(x, s.Seed, rng.Noise, 0, 0)
	for i := range t {
		t[i] = i % s.Diffusion.Steps
	}
	return b.measure(ctx, s, 1, func() error {
		net.Predict(x, t, nil)
		return nil
	})
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
	median := median(times[1:])
	return benchResult{
		Preset: b.preset, Params: s.Model.ParamCount(), Batch: b.batch, Threads: b.threads, Level: cpulevel.Active(),
		SecondsPerStep: median,
		ImagesPerSec:   float64(b.batch) / median,
		GFLOPS:         passes * 2 * float64(s.Model.MACs()) * float64(b.batch) / median / 1e9,
		PeakRSS:        peakRSS(),
	}, nil
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
