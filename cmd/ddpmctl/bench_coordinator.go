package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/ddpm-cluster/ddpm-cluster/cmd/ddpmctl/crowd"
)

// coordinatorBench is what a benchmark of a coordinator is of.
type coordinatorBench struct {
	workers      int
	deaths       []int
	steady, step time.Duration
	program      string
	json         bool
}

// coordinatorResult is what one found, in the order of its JSON.
type coordinatorResult struct {
	Workers int `json:"workers"`
	// Join is from the first worker's dialing until the last one has its place in the
	// first generation.
	Join struct {
		Seconds    float64 `json:"seconds"`
		CPUSeconds float64 `json:"cpu_seconds"`
		// PutOff counts the requests for a certificate that were told to come later.
		PutOff int64 `json:"put_off"`
	} `json:"join"`
	// RSS is the coordinator's memory when all have joined and at the end's peak.
	RSS     int64 `json:"rss_bytes"`
	PeakRSS int64 `json:"peak_rss_bytes"`
	// Steady is training without a change.
	Steady struct {
		Seconds          float64 `json:"seconds"`
		HeartbeatSeconds float64 `json:"heartbeat_seconds"`
		// CPUShare is of one core.
		CPUShare float64 `json:"cpu_share"`
		// BytesPerSecond are a worker's, both ways, TLS included.
		BytesPerSecond float64 `json:"bytes_per_second_worker"`
	} `json:"steady"`
	Changes []coordinatorChange `json:"changes"`
}

// coordinatorChange is a generation change after deaths.
type coordinatorChange struct {
	Deaths int `json:"deaths"`
	// Seconds is from the deaths until the last survivor has its new place, Coordinator
	// from when the coordinator notices the first of them until it has sent the last
	// directive. Both have in them that the survivors say where they stand.
	Seconds     float64 `json:"seconds"`
	Coordinator float64 `json:"coordinator_seconds"`
	CPUSeconds  float64 `json:"cpu_seconds"`
	// Generations is how many it took.
	Generations uint64 `json:"generations"`
	// Bytes are a survivor's, both ways.
	Bytes float64 `json:"bytes_worker"`
}

func benchCoordinatorCommand(stdout, stderr io.Writer) *cobra.Command {
	b := coordinatorBench{}
	c := &cobra.Command{
		Use:   "coordinator",
		Short: "Measure a coordinator with many simulated workers",
		Long: "Coordinator starts a coordinator on this machine, lets simulated workers join it by token and\n" +
			"certificate, which compute nothing and speak as workers do, and measures the coordinator's process:\n" +
			"the storm of joins, steady training, and the change of generation after so many die at once. It\n" +
			"needs Linux, and about two open files a worker.",
		Example: "  ddpmctl bench coordinator --workers 1000",
		Args:    noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			if b.workers < 2 || b.steady <= 0 || b.step <= 0 {
				return usageError{fmt.Errorf("--workers %d --steady %s --step %s: at least 2 workers, and times above 0", b.workers, b.steady, b.step)}
			}
			r, err := b.run(c.Context(), stderr)
			if err != nil {
				return err
			}
			return r.print(stdout, b.json)
		},
	}
	f := c.Flags()
	f.IntVar(&b.workers, "workers", 1000, "simulated workers")
	f.IntSliceVar(&b.deaths, "deaths", []int{1, 10, 100}, "how many die at once, one `COUNT` after another")
	f.DurationVar(&b.steady, "steady", 20*time.Second, "how long to measure training without a change, rounded up to whole periods of signs of life")
	f.DurationVar(&b.step, "step", time.Second, "how long a step takes")
	f.StringVar(&b.program, "coordinator", "", "the coordinator's `PROGRAM` (default: ddpm-coordinator beside this one)")
	f.BoolVar(&b.json, "json", false, "print JSON")
	return c
}

// run starts the coordinator and measures it.
func (b coordinatorBench) run(ctx context.Context, stderr io.Writer) (r coordinatorResult, err error) {
	if b.program == "" {
		self, err := os.Executable()
		if err != nil {
			return r, fmt.Errorf("find this program: %w", err)
		}
		b.program = filepath.Join(filepath.Dir(self), "ddpm-coordinator")
	}
	dir, err := os.MkdirTemp("", "ddpm-bench-coordinator-")
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	p, err := startCoordinator(ctx, b.program, dir, b.workers)
	if err != nil {
		return r, err
	}
	defer func() {
		if end := p.end(); err != nil {
			err = errors.Join(err, end)
		}
	}()
	access, err := p.access(ctx)
	if err != nil {
		return r, err
	}
	return b.measure(ctx, p, access, stderr)
}

// measure makes all parts, one after the other.
func (b coordinatorBench) measure(ctx context.Context, p *coordinatorProcess, access crowd.Access, stderr io.Writer) (r coordinatorResult, err error) {
	r.Workers = b.workers
	say := func(format string, args ...any) { fmt.Fprintf(stderr, format+"\n", args...) }
	began, cpu, err := p.now()
	if err != nil {
		return r, err
	}
	workers, err := crowd.Join(ctx, access, b.workers)
	if err != nil {
		return r, err
	}
	defer workers.Close()
	generation, last, err := workers.Assigned(ctx, b.workers, 0)
	if err != nil {
		return r, err
	}
	_, after, err := p.now()
	if err != nil {
		return r, err
	}
	r.Join.Seconds, r.Join.CPUSeconds, r.Join.PutOff = last.Sub(began).Seconds(), after-cpu, workers.Retries()
	say("%d workers have joined in %.1f s", b.workers, r.Join.Seconds)
	training, stop := context.WithCancel(ctx)
	trained := make(chan struct{})
	go func() {
		defer close(trained)
		workers.Train(training, b.step)
	}()
	defer func() { stop(); <-trained }()
	if err := b.steadily(ctx, p, workers, &r); err != nil {
		return r, err
	}
	say("measured %.0f s of training", r.Steady.Seconds)
	for _, deaths := range b.deaths {
		var c coordinatorChange
		if c, generation, err = b.change(ctx, p, workers, generation, deaths); err != nil {
			return r, err
		}
		r.Changes = append(r.Changes, c)
		say("%d deaths: a new generation in %.3f s", deaths, c.Seconds)
	}
	_, r.PeakRSS, err = p.memory()
	return r, err
}

// settle is how long a coordinator is left alone before a measurement.
const settle = 3 * time.Second

// steadily measures training without a change.
func (b coordinatorBench) steadily(ctx context.Context, p *coordinatorProcess, workers *crowd.Crowd, r *coordinatorResult) error {
	// Signs of life come all at once, so that it takes whole periods of them.
	period := workers.Heartbeat()
	if err := wait(ctx, settle+period); err != nil {
		return err
	}
	began, cpu, err := p.now()
	if err != nil {
		return err
	}
	in, out := workers.Traffic.In.Load(), workers.Traffic.Out.Load()
	if err := wait(ctx, (b.steady + period - 1).Truncate(period)); err != nil {
		return err
	}
	ended, after, err := p.now()
	if err != nil {
		return err
	}
	bytes := workers.Traffic.In.Load() - in + workers.Traffic.Out.Load() - out
	s := &r.Steady
	s.Seconds, s.HeartbeatSeconds = ended.Sub(began).Seconds(), workers.Heartbeat().Seconds()
	s.CPUShare, s.BytesPerSecond = (after-cpu)/s.Seconds, float64(bytes)/s.Seconds/float64(b.workers)
	r.RSS, _, err = p.memory()
	return err
}

// change measures what follows upon deaths, and returns the new generation.
func (b coordinatorBench) change(ctx context.Context, p *coordinatorProcess, workers *crowd.Crowd, generation uint64, deaths int) (c coordinatorChange, next uint64, err error) {
	if err := wait(ctx, settle); err != nil {
		return c, 0, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, time.Minute, errors.New("a minute has passed"))
	defer cancel()
	began, cpu, err := p.now()
	if err != nil {
		return c, 0, err
	}
	bytes := workers.Traffic.In.Load() + workers.Traffic.Out.Load()
	workers.Kill(deaths)
	next, last, err := workers.Assigned(ctx, workers.Alive(), generation)
	if err != nil {
		return c, 0, fmt.Errorf("%d deaths: %w", deaths, err)
	}
	_, after, err := p.now()
	if err != nil {
		return c, 0, err
	}
	c = coordinatorChange{Deaths: deaths, Seconds: last.Sub(began).Seconds(), CPUSeconds: after - cpu, Generations: next - generation}
	c.Bytes = float64(workers.Traffic.In.Load()+workers.Traffic.Out.Load()-bytes) / float64(workers.Alive())
	c.Coordinator, err = p.told(ctx, generation, next)
	return c, next, err
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (r coordinatorResult) print(w io.Writer, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(r)
	}
	fmt.Fprintf(w, "%d workers joined in %.2f s, %.2f s of the coordinator's CPU; %.0f MiB then, %.0f MiB at most\n",
		r.Workers, r.Join.Seconds, r.Join.CPUSeconds, float64(r.RSS)/(1<<20), float64(r.PeakRSS)/(1<<20))
	fmt.Fprintf(w, "steady: a sign of life every %.2f s, %.2f%% of a core, %.0f bytes/s a worker\n",
		r.Steady.HeartbeatSeconds, 100*r.Steady.CPUShare, r.Steady.BytesPerSecond)
	for _, c := range r.Changes {
		fmt.Fprintf(w, "%d deaths: %.3f s until all have their places, %.3f s of it from the first notice to the last directive, %.3f CPU s, %.1f KiB a worker, %d generations\n",
			c.Deaths, c.Seconds, c.Coordinator, c.CPUSeconds, c.Bytes/1024, c.Generations)
	}
	return nil
}
