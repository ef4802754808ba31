package e2e

import (
	"bufio"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/ddpm-cluster/ddpm-cluster/internal/s3test"
)

// sampling is a coordinator of the sampling pool alone, with a run to draw from.
type sampling struct {
	t   *testing.T
	dir string
	// storage is where the run is, env what every command needs to get there.
	storage string
	env     []string
	// folder is where the next process begins; "" is here.
	folder string
	cmd    *exec.Cmd
	// address is HOST:PORT, join what else a worker joins by.
	address string
	join    []string
}

var poolJoin = regexp.MustCompile(`ddpm-worker --role sample --join (\S+) (.*)$`)

// serveSampling trains a little and starts the pool on what came of it.
func serveSampling(t *testing.T, training ...string) *sampling {
	t.Helper()
	dir := t.TempDir()
	return serveSamplingOn(t, dir, dir, nil, training...)
}

func serveSamplingOn(t *testing.T, dir, storage string, env []string, training ...string) *sampling {
	t.Helper()
	s := &sampling{t: t, dir: dir, storage: storage, env: env, address: "127.0.0.1:0"}
	args := append([]string{"--run", "tiny", "--workers", "1", "--steps", "2", "--storage", storage}, training...)
	if r := trainEnv(t, env, dir, args...); r.code != 0 {
		t.Fatal(r.stderr)
	}
	s.start()
	return s
}

// start starts the coordinator, at the address where it was before.
func (s *sampling) start() {
	s.t.Helper()
	s.cmd = prepare(s.t, s.env, "ddpm-coordinator", "--serve-samples", "--data-dir", s.dir, "--storage", s.storage, "--listen", s.address)
	s.cmd.Dir = s.folder
	pipe, err := s.cmd.StderrPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	cmd, lines := s.cmd, make(chan string, 10000)
	go func() {
		defer close(lines)
		for in := bufio.NewScanner(pipe); in.Scan(); {
			lines <- in.Text()
		}
	}()
	s.t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		for line := range lines {
			if s.t.Failed() {
				s.t.Log(line)
			}
		}
		_ = cmd.Wait() // also of one that was killed
	})
	for line := range lines {
		if m := poolJoin.FindStringSubmatch(line); m != nil {
			s.address, s.join = m[1], strings.Fields(m[2])
			return
		}
	}
	s.t.Fatal("the coordinator does not serve the pool")
}

// worker starts one of the pool's, of one thread.
func (s *sampling) worker() *exec.Cmd {
	s.t.Helper()
	return s.workerOf(1)
}

func (s *sampling) workerOf(threads int) *exec.Cmd {
	s.t.Helper()
	args := append([]string{"--role", "sample", "--threads", strconv.Itoa(threads), "--join", s.address}, s.join...)
	cmd := prepare(s.t, s.env, "ddpm-worker", args...)
	cmd.Dir = s.folder
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait() // also of one that was killed
		if s.t.Failed() {
			s.t.Logf("a worker's log:\n%s", stderr.String())
		}
	})
	return cmd
}

func (s *sampling) ctl(args ...string) result {
	s.t.Helper()
	return run(s.t, s.env, "ddpmctl", append(args, "--config", filepath.Join(s.dir, "admin.conf"))...)
}

// images is how many a job draws; DDPM_TEST_POOL_IMAGES says so.
func images(t *testing.T) int { return number(t, "DDPM_TEST_POOL_IMAGES", 64) }

// jobArgs are of a job that takes a while.
func jobArgs(t *testing.T) []string {
	return []string{
		"sample", "--run", "tiny", "--n", strconv.Itoa(images(t)), "--sampler", "ddim", "--steps", "200",
		"--eta", "0.5", "--seed", "7", "--trajectory", "5",
	}
}

// alone draws the job with no cluster.
func (s *sampling) alone() map[string]string {
	s.t.Helper()
	out := filepath.Join(s.t.TempDir(), "alone")
	if r := run(s.t, s.env, "ddpmctl", append(jobArgs(s.t), "--storage", s.storage, "--out", out)...); r.code != 0 {
		s.t.Fatal(r.stderr)
	}
	return hashes(s.t, out)
}

// submit queues the job and gives its id.
func (s *sampling) submit() string {
	s.t.Helper()
	r := s.ctl(append(jobArgs(s.t), "--detach")...)
	if r.code != 0 {
		s.t.Fatal(r.stderr)
	}
	return strings.TrimSpace(r.stdout)
}

// midway waits until some images are drawn.
func (s *sampling) midway(id string) {
	s.t.Helper()
	for {
		var job struct {
			State      string `json:"state"`
			ImagesDone int    `json:"images_done"`
		}
		r := s.ctl("jobs", "show", id, "--json")
		if err := json.Unmarshal([]byte(r.stdout), &job); err != nil {
			s.t.Fatalf("%v: %s%s", err, r.stdout, r.stderr)
		}
		if job.State == "done" {
			s.t.Fatal("the job is done before anything could be done to it; make it longer")
		}
		if job.ImagesDone > 0 {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// fetch waits for the job and compares its files, fetched and, where the Store is a
// folder, in it, to others.
func (s *sampling) fetch(id string, want map[string]string) {
	s.t.Helper()
	out := filepath.Join(s.t.TempDir(), "fetched")
	if r := s.ctl("jobs", "fetch", id, "--out", out); r.code != 0 {
		s.t.Fatal(r.stderr)
	}
	places := map[string]map[string]string{"fetched": hashes(s.t, out)}
	if s.storage == s.dir {
		places["in the Store"] = hashes(s.t, filepath.Join(s.dir, "runs", "tiny", "samples", id))
	}
	for place, got := range places {
		if !maps.Equal(got, want) {
			s.t.Errorf("%d files are %s, want %d of a quiet machine's", len(got), place, len(want))
			for name := range want {
				if got[name] != want[name] {
					s.t.Errorf("%s is %q, want %q", name, got[name], want[name])
				}
			}
			for name := range got {
				if want[name] == "" {
					s.t.Errorf("%s is one too many", name)
				}
			}
		}
	}
}

// hashes are those of the files in a folder. What a killed worker was writing is
// hidden from readers of the Store, and here.
func hashes(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasPrefix(d.Name(), ".ddpm-tmp-") {
			return err
		}
		content, err := os.ReadFile(filepath.Join(dir, name))
		all[name] = fmt.Sprintf("%x", sha256.Sum256(content))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// Pools of any size draw the files that one machine draws alone.
func TestPoolsOfAnySize(t *testing.T) {
	t.Parallel()
	s := serveSampling(t)
	want := s.alone()
	if n := images(t); len(want) != n+4 {
		t.Fatalf("a job of %d images has %d files", n, len(want))
	}
	had := 0
	for _, n := range []int{1, 2, 4} {
		for ; had < n; had++ {
			s.worker()
		}
		s.fetch(s.submit(), want)
	}
}

// Of four workers two are killed midway and one joins.
func TestPoolWithWorkersKilled(t *testing.T) {
	t.Parallel()
	s := serveSampling(t)
	var workers []*exec.Cmd
	for range 4 {
		workers = append(workers, s.worker())
	}
	id := s.submit()
	s.midway(id)
	for _, w := range workers[:2] {
		if err := w.Process.Kill(); err != nil {
			t.Fatal(err)
		}
	}
	s.worker()
	s.fetch(id, s.alone())
}

// The coordinator is killed midway; workers and whoever waits for the job stay.
func TestPoolWithCoordinatorKilled(t *testing.T) {
	t.Parallel()
	s := serveSampling(t)
	for range 2 {
		s.worker()
	}
	id := s.submit()
	s.midway(id)
	if err := s.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = s.cmd.Wait()
	s.start()
	s.fetch(id, s.alone())
}

// The pool of a Store in MinIO: workers are killed, the files are those of a quiet
// machine, each there once.
func TestPoolOnMinIO(t *testing.T) {
	server := s3test.StartMinIO(t)
	s := serveSamplingOn(t, t.TempDir(), s3test.URI(server.Address, "some/place"), server.Env())
	first := s.worker()
	s.worker()
	id := s.submit()
	s.midway(id)
	if err := first.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	s.worker()
	want := s.alone()
	s.fetch(id, want)
	prefix := "some/place/runs/tiny/samples/" + id + "/"
	got := 0
	for o := range server.Client().ListObjects(t.Context(), s3test.Bucket, minio.ListObjectsOptions{Prefix: prefix, Recursive: true}) {
		if o.Err != nil {
			t.Fatal(o.Err)
		}
		got++
		if want[strings.TrimPrefix(o.Key, prefix)] == "" {
			t.Errorf("%s is one too many", o.Key)
		}
	}
	if got != len(want) {
		t.Errorf("the bucket has %d files of the job, want %d", got, len(want))
	}
}

// A worker that is asked to end gives its task back, and ends well.
func TestPoolWorkerLeaves(t *testing.T) {
	t.Parallel()
	s := serveSampling(t)
	first := s.worker()
	id := s.submit()
	s.midway(id)
	if err := first.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := first.Wait(); err != nil {
		t.Errorf("a worker that was asked to end: %v", err)
	}
	if r := s.ctl("jobs", "show", id, "--json"); !strings.Contains(r.stdout, `"workers": 0`) {
		t.Errorf("it keeps its task: %s", r.stdout)
	}
	s.worker()
	s.fetch(id, s.alone())
}

func TestPoolRefusesAndCancels(t *testing.T) {
	t.Parallel()
	s := serveSampling(t)
	there := t.TempDir()
	out := filepath.Join(there, "new")
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--run", "nosuch", "--out", out}, "no such run"},
		{[]string{"--run", "tiny", "--step", "77", "--out", out}, "no checkpoint of step 77"},
		{[]string{"--run", "tiny", "--n", "0", "--out", out}, "--n 0"},
		{[]string{"--run", "tiny", "--n", "10000000", "--out", out}, "--n 10000000"},
		{[]string{"--run", "tiny", "--sampler", "ddim", "--steps", "100000", "--out", out}, "steps 100000"},
		{[]string{"--run", "tiny", "--sampler", "magic", "--out", out}, "magic"},
		{[]string{"--run", "tiny", "--out", there}, "is there already"},
		{[]string{"--run", "tiny", "--threads", "3", "--out", out}, "--threads"},
		{[]string{"--out", out}, "--run"},
	} {
		if r := s.ctl(append([]string{"sample"}, c.args...)...); r.code == 0 || !strings.Contains(r.complaint(), c.want) {
			t.Errorf("%v: exit code %d, %q; want %q", c.args, r.code, r.stderr, c.want)
		}
	}
	if r := s.ctl("jobs", "list", "--json"); strings.TrimSpace(r.stdout) != "[]" {
		t.Errorf("a refused job is queued: %s", r.stdout)
	}
	id := s.submit()
	if r := s.ctl("status"); r.code != 0 || !strings.Contains(r.stdout, "trains nothing") || !strings.Contains(r.stdout, "jobs: 1 queued, 0 running\n  "+id) {
		t.Errorf("status: %s%s", r.stdout, r.stderr)
	}
	if r := s.ctl("status", "--watch"); r.code == 0 || !strings.Contains(r.stderr, "ddpmctl jobs list") || strings.Contains(r.stderr, "--role") {
		t.Errorf("watching the status: %s%s", r.stdout, r.stderr)
	}
	if r := s.ctl("jobs", "cancel", id); r.code != 0 || !strings.Contains(r.stdout, "cancelled") {
		t.Errorf("cancel: %s%s", r.stdout, r.stderr)
	}
	if r := s.ctl("jobs", "fetch", id, "--out", out); r.code == 0 || !strings.Contains(r.complaint(), "was cancelled") {
		t.Errorf("fetching a cancelled job: %s%s", r.stdout, r.stderr)
	}
	if r := s.ctl("jobs", "list"); r.code != 0 || !strings.Contains(r.stdout, id) {
		t.Errorf("list: %s%s", r.stdout, r.stderr)
	}
}

// A coordinator that trains serves the pool too, from the run that it trains.
func TestPoolBesideTraining(t *testing.T) {
	t.Parallel()
	b := start(t, "--local", "--workers", "1", "--checkpoint-every", "20")
	b.line(regexp.MustCompile(`checkpoint.*step=20`))
	admin := filepath.Join(b.dir, "admin.conf")
	r := run(t, nil, "ddpmctl", "token", "create", "--config", admin)
	args := strings.Fields(r.stdout)
	if r.code != 0 || len(args) < 2 {
		t.Fatal(r.stderr)
	}
	cmd := prepare(t, nil, args[0], append(args[1:], "--role", "sample", "--threads", "1")...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait() // the test's end may have been sooner
	})
	picture := filepath.Join(t.TempDir(), "drawn.png")
	if r := run(t, nil, "ddpmctl", "sample", "--config", admin, "--run", "tiny", "--n", "4", "--sampler", "ddim", "--steps", "5", "--out", picture); r.code != 0 {
		t.Fatal(r.stderr)
	}
	if info, err := os.Stat(picture); err != nil || info.Size() == 0 {
		t.Errorf("%v, %v", info, err)
	}
}
