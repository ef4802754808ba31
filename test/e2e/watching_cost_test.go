package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ddpm-cluster/ddpm-cluster/internal/tracing/tracetest"
)

// dashboardLine is where the coordinator says that its page is.
var dashboardLine = regexp.MustCompile(`msg=dashboard at=(http://\S+?)/? `)

// What metrics, traces and the dashboard together take of a step: a run that is watched
// and one that is not, at once, so that whatever else the machine does meets both, again
// and again. What is compared is the processor time of all their processes, less that of
// a run of two steps, which is what starting and ending takes. It is watched as a run
// in use is: by a scrape every 15 seconds, one open dashboard and a collector of traces.
//
//	DDPM_WATCHING_COST=5 go test -v -timeout 60m -run WatchingCost ./test/e2e
//
// measures five pairs, of the preset and steps of DDPM_WATCHING_PRESET (digits) and
// DDPM_WATCHING_STEPS (200).
func TestWatchingCost(t *testing.T) {
	pairs, err := strconv.Atoi(os.Getenv("DDPM_WATCHING_COST"))
	if err != nil || pairs < 1 {
		t.Skip("DDPM_WATCHING_COST says how many pairs of runs to measure")
	}
	preset, steps := "digits", 200
	if p := os.Getenv("DDPM_WATCHING_PRESET"); p != "" {
		preset = p
	}
	if s := os.Getenv("DDPM_WATCHING_STEPS"); s != "" {
		if steps, err = strconv.Atoi(s); err != nil || steps < 10 {
			t.Fatalf("DDPM_WATCHING_STEPS %q: want a number, at least 10", s)
		}
	}
	const few = 2
	var all []pair
	for i := range pairs {
		// Whoever starts first has the machine for itself for a moment: they take turns.
		first := i%2 == 1
		short, long := measurePair(t, preset, few, first), measurePair(t, preset, steps, first)
		p := pair{long.watched.minus(short.watched), long.alone.minus(short.alone)}
		t.Logf("pair %d: %.3f ms of processor a step watched, %.3f alone, %.4f; medians of a step's time %.3f and %.3f ms; starting and ending %.2f and %.2f s of processor",
			i+1, 1000*p.watched.perStep(), 1000*p.alone.perStep(), p.ratio(), 1000*p.watched.step, 1000*p.alone.step, short.watched.cpu, short.alone.cpu)
		all = append(all, p)
	}
	ratios, byTime := make([]float64, pairs), make([]float64, pairs)
	for i, p := range all {
		ratios[i], byTime[i] = p.ratio(), p.watched.step/p.alone.step
	}
	byCPU := median(ratios)
	mean, scatter := 0.0, 0.0
	for _, r := range ratios {
		mean += r / float64(pairs)
	}
	for _, r := range ratios {
		scatter += (r - mean) * (r - mean) / float64(max(pairs-1, 1)) / float64(pairs)
	}
	t.Logf("the mean of the ratios is %.4f with a standard error of %.4f: what is below that can't be told by this measurement", mean, math.Sqrt(scatter))
	t.Logf("watched to alone, medians of %d pairs: %.4f of a step's processor time (%.4f to %.4f), %.4f of its time",
		pairs, byCPU, slices.Min(ratios), slices.Max(ratios), median(byTime))
	if byCPU > 1.01 {
		t.Errorf("metrics, traces and the dashboard take %.2f%% of a step's processor time, more than 1%%", 100*(byCPU-1))
	}
}

// pair is what two equal runs took, one of them watched.
type pair struct{ watched, alone cost }

func (p pair) ratio() float64 { return p.watched.perStep() / p.alone.perStep() }

// cost is what a run took: the processor time of all its processes, and the median of
// its steps' times, in seconds.
type cost struct {
	steps     int
	step, cpu float64
	digest    string
}

// minus is a run's cost without that of starting and ending.
func (c cost) minus(short cost) cost {
	c.steps -= short.steps
	c.cpu -= short.cpu
	return c
}

func (c cost) perStep() float64 { return c.cpu / float64(c.steps) }

// measurePair trains twice at once; both must come to the same weights.
func measurePair(t *testing.T, preset string, steps int, watchedFirst bool) pair {
	t.Helper()
	var p pair
	starts := []func() func() cost{
		func() func() cost { return startRun(t, preset, steps, false) },
		func() func() cost { return startRun(t, preset, steps, true) },
	}
	if watchedFirst {
		end := starts[1]()
		p.alone = starts[0]()()
		p.watched = end()
	} else {
		end := starts[0]()
		p.watched = starts[1]()()
		p.alone = end()
	}
	if p.watched.digest != p.alone.digest {
		t.Errorf("digest %s watched, %s alone", p.watched.digest, p.alone.digest)
	}
	return p
}

// startRun begins to train, on one thread a worker so that the cores are not fought for
// more than need be. What it returns waits for the end.
func startRun(t *testing.T, preset string, steps int, watch bool) func() cost {
	t.Helper()
	dir := t.TempDir()
	args := []string{"--local", "--workers", "2", "--preset", preset, "--run", "cost", "--steps", strconv.Itoa(steps), "--data-dir", dir, "--threads", "1"}
	var env []string
	if watch {
		args = append(args, "--http", "127.0.0.1:0")
		for _, v := range tracetest.Start(t).Environment() {
			env = append(env, v[0]+"="+v[1])
		}
	}
	cmd := prepare(t, env, "ddpm-coordinator", args...)
	var stdout strings.Builder
	cmd.Stdout = &stdout
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var reading, watching sync.WaitGroup
	seen := false
	reading.Go(func() {
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			if m := dashboardLine.FindStringSubmatch(lines.Text() + " "); m != nil && watch && !seen {
				seen = true
				watching.Go(func() { scrape(ctx, m[1]) })
				watching.Go(func() { get(ctx, m[1]+"/api/events") })
			}
		}
	})
	return func() cost {
		t.Helper()
		defer stop()
		reading.Wait()
		r := result{code: exitCode(t, cmd, cmd.Wait())}
		r.stdout = stdout.String()
		stop()
		watching.Wait()
		if seen != watch {
			t.Fatalf("the dashboard was found: %v", seen)
		}
		_, digest := r.lastLine(t)
		// The workers are its children, and it has waited for them: they count in.
		used := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
		return cost{steps, medianStep(t, dir), used.Seconds(), digest}
	}
}

// scrape asks for the metrics as Prometheus does by default.
func scrape(ctx context.Context, at string) {
	tick := time.NewTicker(15 * time.Second)
	defer tick.Stop()
	for {
		get(ctx, at+"/metrics")
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// get reads an answer to its end.
func get(ctx context.Context, at string) {
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return
	}
	if r, err := http.DefaultClient.Do(q); err == nil {
		_, _ = io.Copy(io.Discard, r.Body) // until the run ends
		_ = r.Body.Close()
	}
}

// medianStep is the median of a run's steps, without the first, in seconds.
func medianStep(t *testing.T, dir string) float64 {
	t.Helper()
	f, err := os.Open(filepath.Join(dir, "runs", "cost", "metrics.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var seconds []float64
	for in := json.NewDecoder(f); in.More(); {
		var line struct {
			Seconds float64 `json:"seconds"`
		}
		if err := in.Decode(&line); err != nil {
			t.Fatal(err)
		}
		seconds = append(seconds, line.Seconds)
	}
	if len(seconds) < 2 {
		t.Fatal("too few steps")
	}
	return median(seconds[1:])
}
