package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/kernel"
	"github.com/ddpm-cluster/ddpm-cluster/internal/cpulevel"
)

// kernelResult is what a kernel's benchmark found, in the order of its JSON. A kernel
// that computes has GFLOPS and PeakShare; one that moves memory has GBytes.
type kernelResult struct {
	Level     kernel.Level `json:"level"`
	Kernel    string       `json:"kernel"`
	GFLOPS    float64      `json:"gflops,omitempty"`
	PeakShare float64      `json:"peak_share,omitempty"`
	GBytes    float64      `json:"gbytes_per_second,omitempty"`
	Seconds   float64      `json:"seconds"`
	Peak      float64      `json:"peak_gflops"`
}

func benchKernelsCommand(stdout io.Writer) *cobra.Command {
	var each time.Duration
	var asJSON bool
	c := &cobra.Command{
		Use:   "kernels",
		Short: "Time each kernel at each level, beside the FMA peak of one core",
		Long: "Kernels runs each kernel on one thread, at each level that this CPU has (with " + cpulevel.Variable + "\n" +
			"set: at that one), and prints its best time, its speed, and the share of the FMA peak that it\n" +
			"reaches. Times are of the processor, without what the system ran in between. The peak is measured\n" +
			"in turn with the runs: multiplications that read and write no memory. GFLOP/s count a convolution\n" +
			"as its direct sum, whatever the algorithm, so that a share of Winograd's may be above 100%. What\n" +
			"moves memory more than it computes has GB/s instead.",
		Example: "  ddpmctl bench kernels --json",
		Args:    noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			if each <= 0 {
				return usageError{fmt.Errorf("--time %v: must be above zero", each)}
			}
			results, err := benchLevels(c.Context(), each)
			if err != nil {
				return err
			}
			return printKernels(stdout, results, asJSON)
		},
	}
	c.Flags().DurationVar(&each, "time", 300*time.Millisecond, "time for each kernel")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON, an array")
	return c
}

// benchLevels measures at every level. A process has one, so each of the others gets
// a process of its own.
func benchLevels(ctx context.Context, each time.Duration) ([]kernelResult, error) {
	if os.Getenv(cpulevel.Variable) != "" {
		return benchKernels(ctx, each)
	}
	exe, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("run another level: %w", err)
	}
	var all []kernelResult
	for _, level := range cpulevel.Available() {
		c := exec.CommandContext(ctx, exe, "bench", "kernels", "--json", "--time", each.String())
		c.Env = append(os.Environ(), cpulevel.Variable+"="+string(level))
		var errs bytes.Buffer
		c.Stderr = &errs
		out, err := c.Output()
		if err != nil {
			return nil, fmt.Errorf("run level %s: %w: %s", level, err, bytes.TrimSpace(errs.Bytes()))
		}
		var results []kernelResult
		if err := json.Unmarshal(out, &results); err != nil {
			return nil, fmt.Errorf("read what level %s printed: %w", level, err)
		}
		all = append(all, results...)
	}
	return all, nil
}

// benchKernels measures at this process's level.
func benchKernels(ctx context.Context, each time.Duration) ([]kernelResult, error) {
	pool := kernel.NewPool(1)
	defer pool.Close()
	var results []kernelResult
	for _, b := range kernelBenches(pool, kernel.ActiveLevel() == kernel.LevelPortable) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		seconds, peak := besidePeak(b.run, each)
		results = append(results, kernelResult{
			Level: kernel.ActiveLevel(), Kernel: b.name, Seconds: seconds,
			GFLOPS: b.flops / seconds / 1e9, GBytes: b.bytes / seconds / 1e9,
			Peak: peak, PeakShare: b.flops / seconds / 1e9 / peak,
		})
	}
	return results, nil
}

// besidePeak returns the seconds of the fastest of the runs that a time has room for,
// after one that is not counted, and the FMA peak of this core and level in GFLOP/s,
// measured in turn with them: a core's clock changes with its load and its neighbours'.
func besidePeak(run func(), each time.Duration) (seconds, peak float64) {
	run()
	for begin, i := time.Now(), 0; i == 0 || time.Since(begin) < each; i++ {
		peak = max(peak, fmaPeak())
		if took := processorTime(run); i == 0 || took < seconds {
			seconds = took
		}
	}
	return seconds, max(peak, fmaPeak())
}

// fmaPeak makes FMAs for some tenths of a millisecond and returns their GFLOP/s.
func fmaPeak() float64 {
	const rounds = 200_000
	flops := 0
	took := processorTime(func() { flops = kernel.FMAPeak(rounds) })
	return float64(flops) / took / 1e9
}

// processorTime returns the seconds of the processor that run took, which does all of its
// work on the calling goroutine: the time in which the system ran something else is not in
// it. Where the system does not say, they are those of the wall's clock.
func processorTime(run func()) float64 {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	start, before := time.Now(), threadSeconds()
	run()
	wall, cpu := time.Since(start).Seconds(), threadSeconds()-before
	if cpu > 0 && cpu < wall {
		return cpu
	}
	return wall
}

func printKernels(w io.Writer, results []kernelResult, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(results)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "level\tGFLOP/s\tof the peak\tGB/s\tms\t  kernel\n")
	peak := 0.0
	for i, r := range results {
		peak = max(peak, r.Peak)
		fmt.Fprintf(t, "%s\t", r.Level)
		if r.GFLOPS > 0 {
			fmt.Fprintf(t, "%.1f\t%.0f%%\t\t", r.GFLOPS, 100*r.PeakShare)
		} else {
			fmt.Fprintf(t, "\t\t%.1f\t", r.GBytes)
		}
		fmt.Fprintf(t, "%.3f\t  %s\n", 1e3*r.Seconds, r.Kernel)
		if i+1 == len(results) || results[i+1].Level != r.Level {
			fmt.Fprintf(t, "%s\t%.1f\t100%%\t\t\t  FMA peak\n", r.Level, peak)
			peak = 0
		}
	}
	return t.Flush()
}
