package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/dataset"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/kernel"
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
	b := bench{}
	step := &cobra.Command{
		Use:   "step",
		Short: "Time a training step of one worker",
		Long: "Step trains on drawn images and prints the median time of a step: noise, forward pass, L_simple,\n" +
			"backward pass, Adam and moving average. GFLOP/s count a convolution as its direct sum, whatever\n" +
			"the algorithm.",
		Example: "  ddpmctl bench step --preset cifar10 --batch 8 --threads 1 --steps 10",
		Args:    noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			r, err := b.step(c.Context())
			if err != nil {
				return err
			}
			return r.print(stdout, b.json)
		},
	}
	f := step.Flags()
	f.StringVar(&b.preset, "preset", "cifar10", "the model and its training")
	f.IntVar(&b.batch, "batch", 8, "images of a step")
	f.IntVar(&b.threads, "threads", runtime.NumCPU(), "threads")
	f.IntVar(&b.steps, "steps", 10, "steps to time, after one that is not")
	f.BoolVar(&b.json, "json", false, "print JSON")
	c.AddCommand(step, benchAllReduceCommand(stdin, stdout))
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
	var times []float64
	for range b.steps + 1 {
		if err := ctx.Err(); err != nil {
			return benchResult{}, err
		}
		start := time.Now()
		device.Begin(state.Weights)
		if _, err := device.Gradient(ddpm.PlanStep(s, state.Step).Shard(0), grad); err != nil {
			return benchResult{}, err
		}
		state.Update(s, pool, grad)
		times = append(times, time.Since(start).Seconds())
	}
	// The first step finds out how much memory the others need.
	median := median(times[1:])
	return benchResult{
		Preset: b.preset, Params: len(grad), Batch: b.batch, Threads: b.threads, Level: cpulevel.Active(),
		SecondsPerStep: median,
		ImagesPerSec:   float64(b.batch) / median,
		GFLOPS:         3 * 2 * float64(s.Model.MACs()) * float64(b.batch) / median / 1e9,
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
