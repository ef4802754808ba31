//go:build chaos

package chaos

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/ddpm-cluster/ddpm-cluster/internal/cpulevel"
)

// TestSlowWorker slows one of three workers down, by kernels that are several times
// slower for the same bits: it is dealt less than the others, and the digest is the
// quiet one.
func TestSlowWorker(t *testing.T) {
	if cpulevel.Active() == cpulevel.Portable {
		t.Skip("this machine has no kernels that are faster than portable Go's")
	}
	const steps = 2000
	want := quiet(t, steps)
	c := newCluster(t, 0, "--workers", "3", "--steps", strconv.Itoa(steps), "--checkpoint-every", "500")
	cmd := exec.Command(filepath.Join(bin, "ddpm-worker"), append(slices.Clone(c.entry), "--threads", "1", "-v")...)
	cmd.Env = append(cmd.Environ(), cpulevel.Variable+"="+string(cpulevel.Portable))
	slow := c.start("slow", cmd)
	c.workers = append(c.workers, slow)
	c.join()
	c.join()
	c.until("dealt evenly", limit, func(s status) bool {
		mine, others := shares(s, slow)
		return len(others) == 2 && mine+1 >= slices.Max(others)
	})
	s := c.until("dealt by rate", limit, func(s status) bool {
		mine, others := shares(s, slow)
		return len(others) == 2 && 2*mine <= slices.Min(others)
	})
	mine, others := shares(s, slow)
	t.Logf("step %d, generation %d: the slow worker has %d shards, the others %v", s.Step, s.Generation, mine, others)
	if got := c.finish(limit); got != want {
		t.Errorf("digest %s, one quiet worker has %s", got, want)
	}
}

// shares are how many shards of a step a worker computes, and each of the others,
// where all are members.
func shares(s status, of *process) (mine int, others []int) {
	for _, w := range s.Workers {
		switch {
		case w.Rank < 0:
			return 0, nil
		case w.PID == of.cmd.Process.Pid:
			mine = w.Shards
		default:
			others = append(others, w.Shards)
		}
	}
	return mine, others
}
