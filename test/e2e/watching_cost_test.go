package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/ddpm-cluster/ddpm-cluster/internal/tracing/tracetest"
)

// dashboardLine is where the coordinator says that its page is.
var dashboardLine = regexp.MustCompile(`msg=dashboard at=(http://\S+?)/? `)

// What metrics, traces and the dashboard together take of a step: runs that are watched
// and runs that are not, in turn, compared by the medians of their steps' times and by
// the processor time of a step, the coordinator's and the workers'. It says something on
// a machine that does nothing else:
//
//	DDPM_WATCHING_COST=5 go test -v -timeout 60m -run WatchingCost ./test/e2e
//
// measures five pairs, of the preset and steps of DDPM_WATCHING_PRESET (digits) and
// DDPM_WATCHING_STEPS (40).
func TestWatchingCost(t *testing.T) {
	pairs, err := strconv.Atoi(os.Getenv("DDPM_WATCHING_COST"))
	if err != nil || pairs < 1 {
		t.Skip("DDPM_WATCHING_COST says how many pairs of runs to measure")
	}
	preset, steps := "digits", "40"
	if p := os.Getenv("DDPM_WATCHING_PRESET"); p != "" {
		preset = p
	}
	if s := os.Getenv("DDPM_WATCHING_STEPS"); s != "" {
		steps = s
	}
	var alone, watched []cost
	for i := range pairs {
		// Whoever goes first has a cooler machine: they take turns.
		for turn := range 2 {
			c := measureCost(t, preset, steps, (i+turn)%2 == 1)
			t.Logf("pair %d, watched %v: %.4f s a step, %.4f s of processor", i+1, c.watched, c.step, c.cpu)
			if c.watched {
				watched = append(watched, c)
			} else {
				alone = append(alone, c)
			}
		}
	}
	for i := range watched {
		if watched[i].digest != alone[i].digest {
			t.Errorf("digest %s watched, %s alone", watched[i].digest, alone[i].digest)
		}
	}
	ratio := func(of func(cost) float64) float64 { return medianOf(watched, of) / medianOf(alone, of) }
	byTime, byCPU := ratio(func(c cost) float64 { return c.step }), ratio(func(c cost) float64 { return c.cpu })
	t.Logf("watched to alone, medians of %d pairs: %.4f of a step's time, %.4f of its processor time", pairs, byTime, byCPU)
	if byCPU > 1.01 {
		t.Errorf("metrics, traces and the dashboard take %.2f%% of a step's processor time, more than 1%%", 100*(byCPU-1))
	}
}

// cost is what a run took, in seconds a step.
type cost struct {
	watched   bool
	step, cpu float64
	digest    string
}

func medianOf(all []cost, of func(cost) float64) float64 {
	values := make([]float64, len(all))
	for i, c := range all {
		values[i] = of(c)
	}
	return median(values)
}

// measureCost trains, on one thread a worker so that the two cores are not fought for.
func measureCost(t *testing.T, preset, steps string, watch bool) cost {
	t.Helper()
	dir := t.TempDir()
	args := []string{"--local", "--workers", "2", "--preset", preset, "--run", "cost", "--steps", steps, "--data-dir", dir, "--threads", "1"}
	var env []string
	if watch {
		args = append(args, "--http", "127.0.0.1:0")
		for _, v := range tracetest.Start(t).Environment() {
			env = append(env, v[0]+"="+v[1])
		}
	}
	cmd := prepare(t, env, "ddpm-coordinator", args...)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var watching sync.WaitGroup
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	seen := false
	for lines := bufio.NewScanner(stderr); lines.Scan(); {
		if m := dashboardLine.FindStringSubmatch(lines.Text() + " "); m != nil && watch && !seen {
			seen = true
			watching.Go(func() { scrape(ctx, m[1]) })
			watching.Go(func() { get(ctx, m[1]+"/api/events") })
		}
	}
	said, err := io.ReadAll(stdout)
	if err != nil {
		t.Fatal(err)
	}
	r := result{stdout: string(said), code: exitCode(t, cmd, cmd.Wait())}
	stop()
	watching.Wait()
	if seen != watch {
		t.Fatalf("the dashboard was found: %v", seen)
	}
	_, digest := r.lastLine(t)
	n, err := strconv.Atoi(steps)
	if err != nil {
		t.Fatal(err)
	}
	// The workers are its children, and it has waited for them: they count in.
	used := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	return cost{watch, medianStep(t, dir), used.Seconds() / float64(n), digest}
}

// scrape asks for the metrics every second, as Prometheus does.
func scrape(ctx context.Context, at string) {
	tick := time.NewTicker(time.Second)
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
	var seconds []cost
	for in := json.NewDecoder(f); in.More(); {
		var line struct {
			Seconds float64 `json:"seconds"`
		}
		if err := in.Decode(&line); err != nil {
			t.Fatal(err)
		}
		seconds = append(seconds, cost{step: line.Seconds})
	}
	if len(seconds) < 2 {
		t.Fatal("too few steps")
	}
	return medianOf(seconds[1:], func(c cost) float64 { return c.step })
}
