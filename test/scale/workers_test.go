package scale

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Two workers of one thread each, in namespaces with limited links, against one worker
// alone: the same bits, and how much of twice its rate. The machine's own share in what
// is missing is told by two runs of one worker each, at once, which share the processors'
// caches and memory but reduce nothing. On a machine that others keep busy the figures
// say little, and bars are held by DDPM_SCALE_BARS=1 alone.
func TestTwoWorkersAgainstOne(t *testing.T) {
	if os.Getenv("DDPM_SCALE") == "" {
		t.Skip("opt in by DDPM_SCALE=1; as root, with ip and tc")
	}
	bin := t.TempDir()
	build := exec.Command("go", "build", "-o", bin+string(filepath.Separator), "./cmd/ddpm-coordinator", "./cmd/ddpm-worker")
	build.Dir = filepath.Join("..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, v := range []struct{ batch, shard int }{{16, 8}, {16, 2}, {32, 8}} {
		t.Run(fmt.Sprintf("batch %d in shards of %d", v.batch, v.shard), func(t *testing.T) {
			against(t, training{bin: bin, batch: v.batch, shard: v.shard})
		})
	}
}

// against measures two workers at each rate against one with the whole batch.
func against(t *testing.T, r training) {
	name, address := namespaces(t, 2, 10_000)
	r.in, r.host, r.workers = name, hostAt(address), 1
	one := r.train(t, "one worker")
	half := r
	half.batch /= 2
	both := [2]trained{}
	done := make(chan error, len(both))
	for i := range both {
		alone := half
		alone.first, alone.dir = i, filepath.Join(t.TempDir(), "alone")
		go func() {
			var err error
			both[i], err = alone.run(t.Context())
			done <- err
		}()
	}
	for range both {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	both[0].log(t, "each of two at once that reduce nothing, half the batch", half.batch)
	ceiling := (half.rate(both[0]) + half.rate(both[1])) / (2 * r.rate(one))
	best := (half.best(both[0]) + half.best(both[1])) / (2 * r.best(one))
	t.Logf("two that reduce nothing have %.1f%% of twice one worker's rate, %.1f%% by the fastest steps", 100*ceiling, 100*best)
	for _, link := range []struct {
		mbits     int
		bar, hide float64
	}{{10_000, 0.95, 0.70}, {1_000, 0.85, 0.70}} {
		name, address := namespaces(t, 2, link.mbits)
		two := r
		two.in, two.host, two.workers = name, hostAt(address), 2
		got := two.train(t, fmt.Sprintf("two workers at %d Mbit/s", link.mbits))
		scaling := two.rate(got) / (2 * r.rate(one))
		t.Logf("%d Mbit/s: %.1f%% of twice one worker's rate, %.1f%% by the fastest steps; %.0f%% of the all-reduce hidden",
			link.mbits, 100*scaling, 100*two.best(got)/(2*r.best(one)), 100*got.hiding())
		if got.digest != one.digest {
			t.Errorf("%d Mbit/s: digest %s, and %s of one worker", link.mbits, got.digest, one.digest)
		}
		if os.Getenv("DDPM_SCALE_BARS") != "" && (scaling < link.bar || got.hiding() < link.hide) {
			t.Errorf("%d Mbit/s: the bars are %.0f%% of twice one worker's rate, and %.0f%% hidden", link.mbits, 100*link.bar, 100*link.hide)
		}
	}
}

func (r training) train(t *testing.T, what string) trained {
	t.Helper()
	r.dir = filepath.Join(t.TempDir(), "run")
	got, err := r.run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got.log(t, what, r.batch)
	return got
}
