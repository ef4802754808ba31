package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Two workers of one thread each draw about as fast as one of two threads. That is a
// measurement: DDPM_TEST_POOL_ROUNDS says how often, of both in turn.
func TestTwoWorkersAgainstTwoThreads(t *testing.T) {
	if os.Getenv("DDPM_TEST_POOL_ROUNDS") == "" {
		t.Skip("DDPM_TEST_POOL_ROUNDS is not set: this is a measurement, for a machine with nothing else to do")
	}
	rounds := number(t, "DDPM_TEST_POOL_ROUNDS", 1)
	s := serveSampling(t, "--preset", "cifar10", "--dataset", "glyphs://?size=32&channels=3&n=64", "--batch", "1", "--shard-size", "1", "--steps", "1")
	var one, two []float64
	for i := range rounds {
		one, two = append(one, s.seconds(2)), append(two, s.seconds(1, 1))
		t.Logf("round %d: one worker of two threads %.2f s, two of one %.2f s", i+1, one[i], two[i])
	}
	slices.Sort(one)
	slices.Sort(two)
	ratio := one[rounds/2] / two[rounds/2]
	t.Logf("two workers draw %.3f times as fast as one, by the medians", ratio)
	if ratio < 0.95 {
		t.Errorf("two workers lose %.1f%%, which is more than 5%%", 100*(1-ratio))
	}
}

// seconds is how long workers of so many threads take for a job, when they have begun.
func (s *sampling) seconds(threads ...int) float64 {
	s.t.Helper()
	var workers []*exec.Cmd
	for _, n := range threads {
		workers = append(workers, s.workerOf(n))
	}
	var view struct{ Submitted, Ended time.Time }
	// The first job has them load the weights.
	for _, c := range []struct{ n, steps string }{{"16", "2"}, {"64", "10"}} {
		r := s.ctl("sample", "--run", "tiny", "--n", c.n, "--sampler", "ddim", "--steps", c.steps, "--detach")
		id := strings.TrimSpace(r.stdout)
		if r := s.ctl("jobs", "watch", id); r.code != 0 {
			s.t.Fatal(r.stderr)
		}
		if err := json.Unmarshal([]byte(s.ctl("jobs", "show", id, "--json").stdout), &view); err != nil {
			s.t.Fatal(err)
		}
	}
	for _, w := range workers {
		_ = w.Process.Signal(syscall.SIGTERM)
		_ = w.Wait() // it was asked to end
	}
	return view.Ended.Sub(view.Submitted).Seconds()
}
