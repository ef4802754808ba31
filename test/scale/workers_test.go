package scale

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
)

// Two workers of one thread each, in namespaces with limited links, against one worker
// alone: the same bits, and how much of twice its rate. The machine's own share in what
// is missing is told by two runs of one worker each, at once, which share the processors'
// caches and memory but reduce nothing. Since a machine's pace drifts, DDPM_SCALE_ROUNDS
// repeats all of it, and medians of the ratios within each round are told at the end. On a
// machine that others keep busy the figures say little, and bars are held by
// DDPM_SCALE_BARS=1 alone.
func TestTwoWorkersAgainstOne(t *testing.T) {
	if os.Getenv("DDPM_SCALE") == "" {
		t.Skip("opt in by DDPM_SCALE=1; as root, with ip and tc")
	}
	rounds, err := strconv.Atoi(cmp.Or(os.Getenv("DDPM_SCALE_ROUNDS"), "1"))
	if err != nil || rounds < 1 {
		t.Fatalf("DDPM_SCALE_ROUNDS: %q, want a number of rounds, at least 1", os.Getenv("DDPM_SCALE_ROUNDS"))
	}
	bin := t.TempDir()
	build := exec.Command("go", "build", "-o", bin+string(filepath.Separator), "./cmd/ddpm-coordinator", "./cmd/ddpm-worker")
	build.Dir = filepath.Join("..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, v := range []struct{ batch, shard int }{{16, 8}, {16, 2}, {32, 8}} {
		t.Run(fmt.Sprintf("batch %d in shards of %d", v.batch, v.shard), func(t *testing.T) {
			r := training{bin: bin, batch: v.batch, shard: v.shard}
			var nothing []float64
			of := make([]shares, len(limits))
			for range rounds {
				nothing = append(nothing, against(t, r, of))
			}
			t.Logf("medians of %d rounds: two that reduce nothing have %.1f%% of twice one worker's rate", rounds, 100*median(nothing))
			for i, l := range limits {
				got := of[i]
				t.Logf("%d Mbit/s: %.1f%% of twice one worker's rate, %.1f%% of those that reduce nothing, %.0f%% of the all-reduce hidden",
					l.mbits, 100*median(got.twice), 100*median(got.nothing), 100*median(got.hidden))
				if os.Getenv("DDPM_SCALE_BARS") != "" && (median(got.twice) < l.bar || median(got.hidden) < l.hide) {
					t.Errorf("%d Mbit/s: the bars are %.0f%% of twice one worker's rate, and %.0f%% hidden", l.mbits, 100*l.bar, 100*l.hide)
				}
			}
		})
	}
}

// limits are the links of two workers, and what is asked of each.
var limits = []struct {
	mbits     int
	bar, hide float64
}{{10_000, 0.95, 0.70}, {1_000, 0.85, 0.70}}

// shares are what two workers reach in each round: of twice one worker's rate, and of the
// rate of two that reduce nothing; and how much of their all-reduce is hidden.
type shares struct{ twice, nothing, hidden []float64 }

// against measures two workers at each limit against one with the whole batch, and adds
// the shares that they reach to those before. It returns the share of twice one worker's
// rate that two have which reduce nothing.
func against(t *testing.T, r training, of []shares) float64 {
	name, address := namespaces(t, 2, 10_000)
	r.in, r.host, r.workers = name, hostAt(address), 1
	one := r.train(t, "one worker")
	half := r
	half.batch /= 2
	both := half.atOnce(t)
	both[0].log(t, "each of two at once that reduce nothing, half the batch", half.batch)
	nothing := half.rate(both[0]) + half.rate(both[1])
	for i, l := range limits {
		name, address := namespaces(t, 2, l.mbits)
		two := r
		two.in, two.host, two.workers = name, hostAt(address), 2
		got := two.train(t, fmt.Sprintf("two workers at %d Mbit/s", l.mbits))
		of[i].twice = append(of[i].twice, two.rate(got)/(2*r.rate(one)))
		of[i].nothing = append(of[i].nothing, two.rate(got)/nothing)
		of[i].hidden = append(of[i].hidden, got.hiding())
		if got.digest != one.digest {
			t.Errorf("%d Mbit/s: digest %s, and %s of one worker", l.mbits, got.digest, one.digest)
		}
	}
	return nothing / (2 * r.rate(one))
}

// atOnce trains two runs of one worker each at the same time.
func (r training) atOnce(t *testing.T) (both [2]trained) {
	t.Helper()
	done := make(chan error, len(both))
	for i := range both {
		alone := r
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
	return both
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
