//go:build chaos

package chaos

import (
	"flag"
	"math/rand/v2"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"
)

var (
	seed    = flag.Uint64("seed", 1, "seed of the schedule")
	seeds   = flag.Int("seeds", 1, "how many schedules, from -seed on")
	minutes = flag.Float64("minutes", 10, "how long a life with a steady rate of faults lasts")
	trials  = flag.Int("trials", 100, "how often a fault is measured")
)

// TestLongChaos is 1,000 steps with more than a hundred faults.
func TestLongChaos(t *testing.T) {
	const steps = 1000
	want := quiet(t, steps)
	for s := *seed; s < *seed+uint64(*seeds); s++ {
		t.Run(strconv.FormatUint(s, 10), func(t *testing.T) {
			c := newCluster(t, 3, "--steps", strconv.Itoa(steps), "--checkpoint-every", "100")
			faults := c.chaos(s, 3, limitBetween*5/8)
			total := 0
			for _, n := range faults {
				total += n
			}
			t.Logf("%d faults: %v", total, faults)
			if got := c.finish(limit); got != want {
				t.Errorf("digest %s, one quiet worker has %s", got, want)
			}
			if total < 100 {
				t.Errorf("only %d faults", total)
			}
		})
	}
}

// training says that n workers are there, and all of them train.
func training(n int) func(status) bool {
	return func(s status) bool {
		return s.Phase == "training" && len(s.Workers) == n && len(s.History) > 0 && s.History[len(s.History)-1].Members == n
	}
}

// percentile of durations, 0 … 100.
func percentile(d []time.Duration, p int) time.Duration {
	slices.Sort(d)
	return d[min(len(d)-1, len(d)*p/100)]
}

// after waits until a generation after one has completed a step after another.
func (c *cluster) after(generation, step uint64) {
	c.until("on", limit, func(s status) bool { return s.Generation > generation && s.Step > step && s.Phase == "training" })
}

// TestRecovery measures how long one of eight workers is missed that is killed, or
// halted.
func TestRecovery(t *testing.T) {
	for _, how := range []struct {
		name   string
		signal syscall.Signal
		trials int
	}{{"kill", syscall.SIGKILL, *trials}, {"halt", syscall.SIGSTOP, max(1, *trials/10)}} {
		t.Run(how.name, func(t *testing.T) {
			c := newCluster(t, 8, "--steps", "10000000", "--checkpoint-every", "1000000")
			r := rand.New(rand.NewPCG(*seed, 2))
			var gaps []time.Duration
			for range how.trials {
				s := c.until("training", limit, training(8))
				c.until("on", limit, func(now status) bool { return now.Step > s.Step+3 })
				time.Sleep(time.Duration(r.IntN(60)) * time.Millisecond)
				alive := c.alive()
				victim := alive[r.IntN(len(alive))]
				s, _ = c.status()
				at := time.Now()
				victim.signal(how.signal)
				c.after(s.Generation, s.Step)
				gaps = append(gaps, time.Since(at))
				victim.signal(syscall.SIGKILL)
				<-victim.done
				c.join()
			}
			t.Logf("%s: %d trials, median %s, p99 %s, longest %s", how.name, len(gaps), percentile(gaps, 50), percentile(gaps, 99), percentile(gaps, 100))
		})
	}
}

// TestCoordinatorKills measures the longest time without a step while the
// coordinator is killed and started again.
func TestCoordinatorKills(t *testing.T) {
	kills := max(1, *trials/2)
	c := newCluster(t, 3, "--steps", "10000000", "--checkpoint-every", "200")
	c.until("training", limit, training(3))
	pids := map[int]bool{}
	for _, w := range c.workers {
		pids[w.cmd.Process.Pid] = true
	}
	r := rand.New(rand.NewPCG(*seed, 3))
	for range kills {
		c.until("training", limit, func(s status) bool { return s.Phase == "training" && len(s.Workers) == 3 })
		time.Sleep(time.Duration(r.IntN(500)) * time.Millisecond)
		c.coordinator.signal(syscall.SIGKILL)
		<-c.coordinator.done
		c.lead()
	}
	s := c.until("training", limit, func(s status) bool { return s.Phase == "training" && len(s.Workers) == 3 })
	for _, w := range s.Workers {
		if !pids[w.PID] {
			t.Errorf("worker %s was started anew", w.ID)
		}
	}
	gaps := c.stepGaps("worker-001")
	t.Logf("%d kills, %d steps: the longest time between two steps is %s, the median %s", kills, len(gaps), percentile(gaps, 100), percentile(gaps, 50))
	if s.Generation != 1 {
		t.Errorf("generation %d: the members went on in another one", s.Generation)
	}
}

// TestJoin measures how long a worker takes from its start to its first
// contribution, for a preset's state.
func TestJoin(t *testing.T) {
	for _, preset := range []string{"tiny", "cifar10"} {
		t.Run(preset, func(t *testing.T) {
			c := newCluster(t, 1, "--preset", preset, "--batch", "2", "--shard-size", "1", "--steps", "10000000", "--checkpoint-every", "1000000")
			s := c.until("training", limit, training(1))
			c.until("on", limit, func(now status) bool { return now.Step > s.Step+1 })
			s, _ = c.status()
			at := time.Now()
			c.join()
			s = c.until("training with two", limit, func(now status) bool { return now.Generation > s.Generation && now.Phase == "training" })
			t.Logf("%s: %s from start to membership", preset, time.Since(at))
			c.until("on", limit, func(now status) bool { return now.Step > s.Step })
			t.Logf("%s: %s from start to the first step with it", preset, time.Since(at))
		})
	}
}

// TestSteadyFaults measures what is left of the throughput with a fault every 29 s.
// The first worker lives, so that its log tells of all of it.
func TestSteadyFaults(t *testing.T) {
	c := newCluster(t, 8, "--steps", "10000000", "--checkpoint-every", "1000000")
	c.until("training", limit, training(8))
	r := rand.New(rand.NewPCG(*seed, 4))
	for end := time.Now().Add(time.Duration(*minutes * float64(time.Minute))); time.Now().Before(end); {
		time.Sleep(29 * time.Second)
		mortal := c.alive()[1:]
		victim := mortal[r.IntN(len(mortal))]
		victim.signal(syscall.SIGKILL)
		<-victim.done
		c.join()
	}
	c.coordinator.signal(syscall.SIGINT)
	got := c.finish(limit)
	gaps := c.stepGaps("worker-001")
	total, lost := time.Duration(0), time.Duration(0)
	typical := percentile(gaps, 50)
	for _, g := range gaps {
		total += g
		if g > 3*typical {
			lost += g - typical
		}
	}
	t.Logf("%d steps in %s, %s of it lost around faults: %.2f%% of the throughput is left", len(gaps), total, lost, 100*(1-float64(lost)/float64(total)))
	steps := closing.FindStringSubmatch(c.coordinator.stdout.String())[1]
	n, err := strconv.Atoi(steps)
	if err != nil {
		t.Fatal(err)
	}
	if want := quiet(t, n); got != want {
		t.Errorf("step %s: digest %s, one quiet worker has %s", steps, got, want)
	}
}
