package e2e

import (
	"image/png"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/ddpm-cluster/ddpm-cluster/internal/cpulevel"
)

// The law: after 60 steps every cluster has the same bits.
func TestSameBitsWhateverTheCluster(t *testing.T) {
	_, want := train(t, t.TempDir(), "--steps", "60", "--workers", "1", "--threads", "1").lastLine(t)
	for _, v := range []struct {
		name string
		runs [][]string // one after another in one data dir
	}{
		{"2 workers", [][]string{{"--steps", "60", "--workers", "2", "--threads", "1"}}},
		{"3 workers, 2 threads", [][]string{{"--steps", "60", "--workers", "3", "--threads", "2"}}},
		{"5 workers", [][]string{{"--steps", "60", "--workers", "5", "--threads", "1"}}},
		{"1 worker, 2 threads", [][]string{{"--steps", "60", "--workers", "1", "--threads", "2"}}},
		{"stopped at step 31 with 3 workers, resumed with 2", [][]string{
			{"--steps", "31", "--workers", "3", "--threads", "1"},
			{"--steps", "60", "--workers", "2", "--threads", "2"},
		}},
		{"checkpoints every 7 steps", [][]string{{"--steps", "60", "--workers", "2", "--checkpoint-every", "7"}}},
	} {
		t.Run(v.name, func(t *testing.T) {
			dir := t.TempDir()
			var got string
			for _, args := range v.runs {
				_, got = train(t, dir, args...).lastLine(t)
			}
			if got != want {
				t.Errorf("digest %s, one quiet worker has %s", got, want)
			}
		})
	}
}

// The law holds for a model with classes too: labels and what is withheld of them are
// functions of the config and the step.
func TestSameBitsWithClasses(t *testing.T) {
	args := []string{"--steps", "20", "--classes", "10", "--label-dropout", "0.3"}
	_, want := train(t, t.TempDir(), append(args, "--workers", "1", "--threads", "1")...).lastLine(t)
	if _, got := train(t, t.TempDir(), append(args, "--workers", "3", "--threads", "2")...).lastLine(t); got != want {
		t.Errorf("digest %s, one quiet worker has %s", got, want)
	}
	_, without := train(t, t.TempDir(), "--steps", "20", "--workers", "1").lastLine(t)
	if without == want {
		t.Error("the classes change nothing")
	}
}

// The law holds with local steps: what a shard makes of them is a function of the weights,
// the step and the shard, whoever takes them.
func TestSameBitsWithLocalSteps(t *testing.T) {
	args := []string{"--steps", "12", "--local-steps", "5", "--batch", "16", "--shard-size", "4"}
	_, want := train(t, t.TempDir(), append(args, "--workers", "1", "--threads", "1")...).lastLine(t)
	if _, got := train(t, t.TempDir(), append(args, "--workers", "3", "--threads", "2")...).lastLine(t); got != want {
		t.Errorf("digest %s, one quiet worker has %s", got, want)
	}
	dir := t.TempDir()
	train(t, dir, append(slices.Clone(args), "--steps", "7", "--workers", "2")...).lastLine(t)
	if _, got := train(t, dir, append(args, "--workers", "4", "--threads", "1")...).lastLine(t); got != want {
		t.Errorf("stopped and resumed: digest %s, one quiet worker has %s", got, want)
	}
}

// The law holds with groups of shards: whether one worker takes a group's local steps, or
// several do in a ring of their own, and when one of these is killed within them.
func TestSameBitsWithLocalGroups(t *testing.T) {
	args := []string{"--steps", "40", "--local-steps", "3", "--local-groups", "2", "--batch", "16", "--shard-size", "2"}
	_, want := train(t, t.TempDir(), append(args, "--workers", "1", "--threads", "1")...).lastLine(t)
	for _, workers := range []string{"2", "3", "4"} {
		if _, got := train(t, t.TempDir(), append(args, "--workers", workers, "--threads", "1")...).lastLine(t); got != want {
			t.Errorf("%s workers: digest %s, one quiet worker has %s", workers, got, want)
		}
		killed := false
		r := follow(t, once(func(pid int, _ string) {
			killed = true
			if err := syscall.Kill(aChild(t, pid), syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}, "checkpoint", "step=4"), append(args, "--local", "--preset", "tiny", "--data-dir", t.TempDir(), "--checkpoint-every", "4",
			"--workers", workers, "--threads", "1", "-v")...)
		if _, got := r.lastLine(t); !killed || got != want {
			t.Errorf("one of %s killed: %v; digest %s, one quiet worker has %s", workers, killed, got, want)
		}
	}
	_, alone := train(t, t.TempDir(), append(args, "--local-groups", "8", "--workers", "3", "--threads", "1")...).lastLine(t)
	without := slices.DeleteFunc(slices.Clone(args), func(a string) bool { return a == "--local-groups" })
	without = slices.Delete(without, 4, 5) // and its value
	if _, got := train(t, t.TempDir(), append(without, "--workers", "1", "--threads", "1")...).lastLine(t); got != alone || got == want {
		t.Errorf("a group for each shard: digest %s, without groups %s, with two %s", alone, got, want)
	}
}

// The law holds for other sums and a rounded gradient: both are of the run, and the same
// for all who are in it.
func TestSameBitsWithFewerFractionBits(t *testing.T) {
	sameBitsWith(t, "--fraction-bits", "28", "--gather-dtype", "bf16")
}

// It holds for timesteps that are planned over the whole batch, whoever has its shards.
func TestSameBitsWithStratifiedTimesteps(t *testing.T) { sameBitsWith(t, "--timesteps", "stratified") }

// sameBitsWith trains by settings that lead to other bits than those of the preset, to the
// same on one worker and on several.
func sameBitsWith(t *testing.T, settings ...string) {
	t.Helper()
	args := append([]string{"--steps", "12"}, settings...)
	_, want := train(t, t.TempDir(), append(args, "--workers", "1", "--threads", "1")...).lastLine(t)
	if _, got := train(t, t.TempDir(), append(args, "--workers", "3", "--threads", "2")...).lastLine(t); got != want {
		t.Errorf("%v: digest %s, one quiet worker has %s", settings, got, want)
	}
	if _, without := train(t, t.TempDir(), "--steps", "12", "--workers", "1").lastLine(t); without == want {
		t.Errorf("%v change nothing", settings)
	}
}

// Portable Go and vector kernels end with the same weights.
func TestSameBitsOnEveryCPULevel(t *testing.T) {
	args := []string{"--steps", "3", "--workers", "2", "--threads", "1"}
	_, want := train(t, t.TempDir(), args...).lastLine(t)
	levels := []cpulevel.Level{cpulevel.Portable}
	if cpulevel.Active() == cpulevel.AVX512 {
		levels = append(levels, cpulevel.AVX2)
	}
	for _, level := range levels {
		env := []string{cpulevel.Variable + "=" + string(level)}
		if _, got := trainEnv(t, env, t.TempDir(), args...).lastLine(t); got != want {
			t.Errorf("%s kernels give %s, this machine's best %s", level, got, want)
		}
	}
}

// Ctrl-C makes a checkpoint at an agreed step; the next start goes on from it.
func TestInterruptAndResume(t *testing.T) {
	_, want := train(t, t.TempDir(), "--steps", "150", "--workers", "1").lastLine(t)
	dir := t.TempDir()
	interrupted := false
	step, digest := follow(t, once(func(pid int, _ string) {
		interrupted = true
		if err := syscall.Kill(pid, syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
	}, "checkpoint", "step=20"),
		"--local", "--preset", "tiny", "--data-dir", dir, "--steps", "150", "--checkpoint-every", "20", "--workers", "2", "-v").lastLine(t)
	if !interrupted || step == "150" && digest != want {
		t.Fatalf("interrupted: %v; ended at step %s with digest %s", interrupted, step, digest)
	}
	t.Logf("stopped at step %s", step)
	if _, got := train(t, dir, "--steps", "150", "--workers", "3").lastLine(t); got != want {
		t.Errorf("resumed from step %s: digest %s, a quiet run has %s", step, got, want)
	}
}

// joinLine is how the coordinator says how workers join.
var joinLine = regexp.MustCompile(`ddpm-worker (--join 127\.0\.0\.1:\d+ --token-file \S+ --ca-hash sha256:[0-9a-f]{64})$`)

// joinFlags are the flags of a line that says how to join, and others.
func joinFlags(line string, others ...string) []string {
	return append(strings.Fields(joinLine.FindStringSubmatch(line)[1]), others...)
}

// Workers that are started by hand join by the line that the coordinator prints, and
// whichever way they reduce, they end with the same bits.
func TestWorkersJoinByHand(t *testing.T) {
	_, want := train(t, t.TempDir(), "--steps", "5", "--workers", "1").lastLine(t)
	for _, v := range []struct {
		name    string
		workers int
		flags   []string // {worker} is the worker's number, {host} is 1 or 2
		says    string   // every worker
	}{
		{"in shared memory", 2, nil, "reducing through shared memory"},
		{"round a ring", 3, []string{"--shared-memory=false"}, "reduce by messages all the same"},
		{"by halving", 4, []string{"--advertise", "127.0.0.{worker}"}, "halving small buckets"},
		{"in lanes between hosts", 4, []string{"--advertise", "127.0.0.{host}"}, "through shared memory\" members=4 hosts=2"},
	} {
		t.Run(v.name, func(t *testing.T) {
			if runtime.GOOS != "linux" && strings.Contains(strings.Join(v.flags, " "), "127.0.0.{") {
				t.Skip("this system has one loopback address")
			}
			workers := make([]result, v.workers)
			r := follow(t, once(func(_ int, line string) {
				var group sync.WaitGroup
				for i := range workers {
					flags := []string{"--threads", "1", "-v"}
					for _, f := range v.flags {
						flags = append(flags, strings.NewReplacer("{worker}", strconv.Itoa(i+1), "{host}", strconv.Itoa(i%2+1)).Replace(f))
					}
					group.Go(func() { workers[i] = run(t, nil, "ddpm-worker", joinFlags(line, flags...)...) })
				}
				group.Wait()
			}, "ddpm-worker --join"),
				"--preset", "tiny", "--data-dir", t.TempDir(), "--steps", "5", "--workers", strconv.Itoa(v.workers), "--listen", "127.0.0.1:0")
			if _, got := r.lastLine(t); got != want {
				t.Errorf("digest %s, a quiet run has %s", got, want)
			}
			for _, w := range workers {
				if w.code != 0 || !strings.Contains(w.stderr, v.says) {
					t.Errorf("a worker ended with %d, want %q in what it says:\n%s", w.code, v.says, w.stderr)
				}
			}
		})
	}
}

// A worker killed without warning is missed by nobody: the others go on, to the same
// bits.
func TestLostWorkerIsNotMissed(t *testing.T) {
	_, want := train(t, t.TempDir(), "--steps", "300", "--workers", "1").lastLine(t)
	killed := false
	r := follow(t, once(func(pid int, _ string) {
		killed = true
		if err := syscall.Kill(aChild(t, pid), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}, "checkpoint", "step=20"),
		"--local", "--preset", "tiny", "--data-dir", t.TempDir(), "--steps", "300", "--checkpoint-every", "20", "--workers", "3", "-v")
	if _, got := r.lastLine(t); !killed || got != want {
		t.Errorf("killed: %v; digest %s, a quiet run has %s", killed, got, want)
	}
	if !strings.Contains(r.stderr, "a worker is gone") || !strings.Contains(r.stderr, "members=2") {
		t.Errorf("the log does not say that a worker is gone, and that two go on:\n%s", r.stderr)
	}
}

// aChild returns the process id of a child of the process.
func aChild(t *testing.T, parent int) int {
	t.Helper()
	children, err := childrenOf(parent)
	if err != nil || len(children) == 0 {
		t.Fatalf("no children of %d: %v", parent, err)
	}
	return children[0]
}

// A checkpoint holds a picture, and ddpmctl reads what the coordinator wrote.
func TestCheckpointIsComplete(t *testing.T) {
	dir := t.TempDir()
	_, want := train(t, dir, "--steps", "4", "--workers", "2", "--run", "a").lastLine(t)
	folder := filepath.Join(dir, "runs", "a", "checkpoints", "step-00000004")
	for _, rel := range []string{
		"model_index.json", "unet/config.json", "unet/diffusion_pytorch_model.safetensors", "scheduler/scheduler_config.json",
		"state/part-00000-of-00002.safetensors", "state/part-00001-of-00002.safetensors", "manifest.json", "samples.png",
	} {
		if _, err := os.Stat(filepath.Join(folder, rel)); err != nil {
			t.Error(err)
		}
	}
	checkPNG(t, filepath.Join(folder, "samples.png"))

	d := run(t, nil, "ddpmctl", "digest", "--storage", dir, "--run", "a")
	if wantLine := "run a: step 4 digest " + want + "\n"; d.stdout != wantLine {
		t.Errorf("ddpmctl digest printed %q, want %q\n%s", d.stdout, wantLine, d.stderr)
	}
	var pictures [2][]byte
	for i, threads := range []string{"1", "2"} {
		out := filepath.Join(t.TempDir(), "out.png")
		r := run(t, nil, "ddpmctl", "sample", "--storage", dir, "--run", "a", "--n", "5", "--seed", "7",
			"--sampler", "ddim", "--steps", "3", "--eta", "1", "--threads", threads, "--out", out)
		if r.code != 0 {
			t.Fatalf("ddpmctl sample: %s", r.stderr)
		}
		checkPNG(t, out)
		pictures[i], _ = os.ReadFile(out)
	}
	if string(pictures[0]) != string(pictures[1]) {
		t.Error("the pictures depend on the threads")
	}
}

// A checkpoint with a flipped bit is named and skipped, by whoever reads it.
func TestDamagedCheckpointIsSkipped(t *testing.T) {
	dir := t.TempDir()
	_, want := train(t, dir, "--steps", "2", "--workers", "1").lastLine(t)
	train(t, dir, "--steps", "4", "--workers", "1").lastLine(t)
	folder := filepath.Join(dir, "runs", "tiny", "checkpoints", "step-00000004")
	for _, rel := range []string{"unet/diffusion_pytorch_model.safetensors", "state/part-00000-of-00001.safetensors"} {
		name := filepath.Join(folder, filepath.FromSlash(rel))
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		data[len(data)/2] ^= 4
		if err := os.WriteFile(name, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	out := filepath.Join(t.TempDir(), "out.png")
	sample := []string{"sample", "--storage", dir, "--n", "1", "--sampler", "ddim", "--steps", "2", "--out", out}
	if r := run(t, nil, "ddpmctl", sample...); r.code != 0 || !strings.Contains(r.stderr, "skipping the checkpoint of step 4") || !strings.Contains(r.stdout, "step 2") {
		t.Errorf("sample: exit code %d, %s%s", r.code, r.stdout, r.stderr)
	}
	if r := run(t, nil, "ddpmctl", sample...); r.code != 2 || !strings.Contains(r.stderr, "there already") {
		t.Errorf("sample over a picture: exit code %d, %s", r.code, r.stderr)
	}
	if err := os.Remove(out); err != nil {
		t.Error(err)
	}
	if r := run(t, nil, "ddpmctl", append(sample, "--step", "4")...); r.code != 1 || !strings.Contains(r.stderr, "SHA-256") || !strings.Contains(r.stderr, "leave --step out") {
		t.Errorf("sample --step 4: exit code %d, %s", r.code, r.stderr)
	}
	if r := run(t, nil, "ddpmctl", append(sample, "--sampler", "ancestral", "--eta", "0.5")...); r.code != 2 || !strings.Contains(r.stderr, "ddim") {
		t.Errorf("--eta without ddim: exit code %d, %s", r.code, r.stderr)
	}
	if r := run(t, nil, "ddpmctl", "digest", "--storage", dir); r.code != 0 || r.stdout != "run tiny: step 2 digest "+want+"\n" {
		t.Errorf("digest: exit code %d, %s%s", r.code, r.stdout, r.stderr)
	}
	if r := train(t, dir, "--steps", "2", "--workers", "1"); !strings.Contains(r.stderr, "skipped a checkpoint") {
		t.Errorf("the next start: %s", r.stderr)
	}
}

func checkPNG(t *testing.T, path string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := png.Decode(f); err != nil {
		t.Errorf("%s: %v", path, err)
	}
}
