package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/ddpm-cluster/ddpm-cluster/internal/s3test"
)

// number reads a count from the environment, for the lengths that take too long for
// every day.
func number(t *testing.T, variable string, normal int) int {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return normal
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s is %q, not a count", variable, text)
	}
	return n
}

// A run on MinIO has the bits of one in a folder, and a bucket that people can browse.
func TestSameBitsOnMinIO(t *testing.T) {
	server := s3test.StartMinIO(t)
	_, want := train(t, t.TempDir(), "--steps", "20", "--workers", "1").lastLine(t)
	uri := s3test.URI(server.Address, "some/place")
	args := []string{"--storage", uri, "--checkpoint-every", "5", "--keep-last", "2"}
	trainEnv(t, server.Env(), t.TempDir(), append(args, "--steps", "10", "--workers", "3")...).lastLine(t)
	if _, got := trainEnv(t, server.Env(), t.TempDir(), append(args, "--steps", "20", "--workers", "2")...).lastLine(t); got != want {
		t.Errorf("digest %s, in a folder it is %s", got, want)
	}
	types := map[string]string{}
	for o := range server.Client().ListObjects(t.Context(), s3test.Bucket, minio.ListObjectsOptions{Prefix: "some/place/", Recursive: true}) {
		info, err := server.Client().StatObject(t.Context(), s3test.Bucket, o.Key, minio.StatObjectOptions{})
		if err != nil {
			t.Fatal(err)
		}
		types[strings.TrimPrefix(o.Key, "some/place/runs/tiny/")] = info.ContentType
	}
	for key, want := range map[string]string{
		"run.json": "application/json", "metrics.jsonl": "application/jsonl",
		"checkpoints/step-00000020/manifest.json": "application/json", "checkpoints/step-00000020/metrics.json": "application/json",
		"checkpoints/step-00000020/samples.png": "image/png", "checkpoints/step-00000020/unet/config.json": "application/json",
		"checkpoints/step-00000020/state/part-00001-of-00002.safetensors": "application/octet-stream",
		"checkpoints/step-00000010/manifest.json":                         "", // deleted
	} {
		if types[key] != want {
			t.Errorf("%s has the type %q, want %q", key, types[key], want)
		}
	}
	if r := run(t, server.Env(), "ddpmctl", "checkpoints", "verify", "--storage", uri); r.code != 0 || strings.Count(r.stdout, "whole") != 2 {
		t.Errorf("verify: %s%s", r.stdout, r.stderr)
	}
}

// manyKills is how many runs more are killed where all have ended before.
const manyKills = 20

// Workers and coordinators killed at random moments of a save leave a newest
// checkpoint that loads, and from which the run reaches the quiet run's bits.
// DDPM_TEST_KILLS says how often, DDPM_TEST_STREAMS how many runs at once.
func TestKilledWhileSaving(t *testing.T) {
	server := s3test.StartMinIO(t)
	_, want := train(t, t.TempDir(), "--steps", "16", "--workers", "1").lastLine(t)
	kills := number(t, "DDPM_TEST_KILLS", 3)
	streams := min(number(t, "DDPM_TEST_STREAMS", 3), kills)
	var next, killed, midway atomic.Int64
	t.Run("streams", func(t *testing.T) {
		for k := range streams {
			t.Run(strconv.Itoa(k), func(t *testing.T) {
				t.Parallel()
				seed := rand.Uint64()
				t.Logf("seed %d", seed)
				random := rand.New(rand.NewPCG(seed, 1))
				for i := next.Add(1); (i <= int64(kills) || killed.Load() == 0 && i <= int64(kills+manyKills)) && !t.Failed(); i = next.Add(1) {
					cut, halves := killAndResume(t, server, random, fmt.Sprintf("kill-%d", i), want)
					if cut {
						killed.Add(1)
						midway.Add(int64(halves))
					}
				}
			})
		}
	})
	if killed.Load() == 0 && !t.Failed() {
		t.Errorf("none of %d runs was killed before its end", next.Load())
	}
	t.Logf("%d of %d runs killed before their end, %d with a checkpoint half written", killed.Load(), kills, midway.Load())
}

// killAndResume kills a run that is kept under the prefix once, sees that its newest
// checkpoint loads, and that it ends with the bits that are wanted.
func killAndResume(t *testing.T, server *s3test.Server, random *rand.Rand, prefix, want string) (cut bool, halves int) {
	t.Helper()
	dir := t.TempDir()
	args := []string{"--storage", s3test.URI(server.Address, prefix), "--workers", "2", "--threads", "1", "--steps", "16"}
	cut = killOnce(t, server, dir, random, append(args, "--checkpoint-every", "2"))
	list := run(t, server.Env(), "ddpmctl", "checkpoints", "list", args[0], args[1])
	if list.code != 0 {
		t.Fatalf("%s: list: %s", prefix, list.stderr)
	}
	if strings.Contains(list.stdout, "complete") {
		if r := run(t, server.Env(), "ddpmctl", "digest", args[0], args[1]); r.code != 0 {
			t.Fatalf("%s: the newest checkpoint does not load: %s", prefix, r.stderr)
		}
	}
	if strings.Contains(list.stdout, "no manifest") {
		halves = 1
	}
	if _, got := trainEnv(t, server.Env(), dir, args...).lastLine(t); got != want {
		t.Fatalf("%s: resumed: digest %s, a quiet run has %s", prefix, got, want)
	}
	return cut, halves
}

// killOnce trains until a random moment after the first checkpoint began, and kills
// the coordinator or a worker. It says whether that came before the end.
func killOnce(t *testing.T, server *s3test.Server, dir string, random *rand.Rand, args []string) (cut bool) {
	t.Helper()
	cmd := prepare(t, server.Env(), "ddpm-coordinator", append([]string{"--local", "--preset", "tiny", "--data-dir", dir}, args...)...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(limit); ; time.Sleep(10 * time.Millisecond) {
		if began(t, server, args[1]) || time.Now().After(end) {
			break
		}
	}
	time.Sleep(time.Duration(random.IntN(1200)) * time.Millisecond)
	victim := cmd.Process.Pid
	if children, err := childrenOf(victim); err == nil && len(children) > 0 && random.IntN(2) == 0 {
		victim = children[random.IntN(len(children))]
	}
	_ = syscall.Kill(victim, syscall.SIGKILL) // it may have ended just now
	return exitCode(t, cmd, cmd.Wait()) != 0
}

// began says whether a run has begun to store.
func began(t *testing.T, server *s3test.Server, uri string) bool {
	t.Helper()
	prefix := strings.TrimPrefix(strings.SplitN(uri, "?", 2)[0], "s3://"+s3test.Bucket+"/")
	for o := range server.Client().ListObjects(t.Context(), s3test.Bucket, minio.ListObjectsOptions{Prefix: prefix + "/runs/tiny/checkpoints/", Recursive: true}) {
		return o.Err == nil
	}
	return false
}

// While the Store is down, overloaded, slow, cut off or full, training goes on, no
// checkpoint is listed that is not whole, and the run ends with the quiet run's bits.
// DDPM_TEST_OUTAGE says for how many seconds.
func TestTrainingOutlastsTheStore(t *testing.T) {
	outage := time.Duration(number(t, "DDPM_TEST_OUTAGE", 3)) * time.Second
	// Some train while the first checkpoint is stored, and more while the Store is broken.
	steps := strconv.Itoa(400 + 15*int(outage/time.Second))
	_, want := train(t, t.TempDir(), "--steps", steps, "--workers", "2", "--threads", "1", "--checkpoint-every", "100000").lastLine(t)
	server := s3test.StartMinIO(t)
	for name, fault := range map[string]s3test.Fault{
		"down":             {Refuse: true},
		"answering 503":    {Unavailable: true},
		"50 KB/s":          {BytesPerSecond: 50_000},
		"cut after 100 KB": {CutAfter: 100_000},
	} {
		t.Run(name, func(t *testing.T) {
			proxy := s3test.StartProxy(t, server.Address)
			uri := s3test.URI(proxy.Address, name)
			outlast(t, server.Env(), uri, steps, want, outage, func() { proxy.Set(fault) }, func() { proxy.Set(s3test.Fault{}) })
		})
	}
	t.Run("stopped", func(t *testing.T) {
		outlast(t, server.Env(), s3test.URI(server.Address, "stopped"), steps, want, outage, server.Stop, server.Start)
	})
	t.Run("full disk", func(t *testing.T) {
		dir := t.TempDir()
		if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", dir).CombinedOutput(); err != nil {
			t.Skipf("no small disk to fill: mount: %v: %s", err, out)
		}
		t.Cleanup(func() { _ = exec.Command("umount", "-l", dir).Run() }) // with the test's own folder
		ballast := filepath.Join(dir, "ballast")
		fill := func() {
			if out, err := exec.Command("dd", "if=/dev/zero", "of="+ballast, "bs=1M", "count=100").CombinedOutput(); err == nil {
				t.Errorf("the disk did not fill: %s", out)
			}
		}
		outlast(t, nil, filepath.Join(dir, "store"), steps, want, outage, fill, func() { _ = os.Remove(ballast) })
	})
}

var statusLine = regexp.MustCompile(`dashboard at=(http://[^/\s]+)/`)

// outlast trains with a Store that breaks after the first checkpoint, for a time.
func outlast(t *testing.T, env []string, uri, steps, want string, outage time.Duration, fail, heal func()) {
	t.Helper()
	var status string
	var before, after uint64
	healed := make(chan struct{})
	started := false
	note := func(line string) {
		if m := statusLine.FindStringSubmatch(line); m != nil {
			status = m[1] + "/api/status"
		}
		if started || !strings.Contains(line, "msg=checkpoint ") {
			return
		}
		started = true
		fail()
		before = stepOf(t, status)
		go func() {
			defer close(healed)
			// And until training went on, which a slow machine takes longer for.
			for end := time.Now().Add(outage); ; time.Sleep(100 * time.Millisecond) {
				after = stepOf(t, status)
				if now := time.Now(); now.After(end) && after > before || now.After(end.Add(time.Minute)) {
					break
				}
			}
			heal()
		}()
	}
	r := followEnv(t, env, func(_ int, line string) { note(line) },
		"--local", "--preset", "tiny", "--data-dir", t.TempDir(), "--storage", uri, "--workers", "2", "--threads", "1",
		"--steps", steps, "--checkpoint-every", "40", "--keep-last", "2", "--http", "127.0.0.1:0", "-v")
	if !started {
		t.Fatalf("no checkpoint:\n%s", r.stderr)
	}
	<-healed
	_, got := r.lastLine(t)
	if got != want {
		t.Errorf("digest %s, a quiet run has %s", got, want)
	}
	if after <= before {
		t.Errorf("from step %d training went on to %d while the Store was broken", before, after)
	}
	t.Logf("broken from step %d to %d; given up: %d, tried again: %d", before, after, strings.Count(r.stderr, "gave up a checkpoint"), strings.Count(r.stderr, "trying again"))
	if v := run(t, env, "ddpmctl", "checkpoints", "verify", "--storage", uri); v.code != 0 && !strings.Contains(v.stdout, "no manifest") || strings.Contains(v.stdout, "SHA-256") {
		t.Errorf("verify: %s%s", v.stdout, v.stderr)
	}
	if d := run(t, env, "ddpmctl", "digest", "--storage", uri); d.code != 0 || !strings.Contains(d.stdout, "step "+steps+" digest "+want) {
		t.Errorf("digest: %s%s", d.stdout, d.stderr)
	}
}

// stepOf asks a coordinator how far it is.
func stepOf(t *testing.T, url string) uint64 {
	t.Helper()
	client := http.Client{Timeout: 10 * time.Second}
	defer client.CloseIdleConnections()
	r, err := client.Get(url)
	if err != nil {
		t.Errorf("status: %v", err)
		return 0
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	var status struct {
		Step uint64 `json:"step"`
	}
	if err == nil {
		err = json.Unmarshal(text, &status)
	}
	if err != nil {
		t.Errorf("status: %v: %s", err, text)
	}
	return status.Step
}
