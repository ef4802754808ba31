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
	"strings"
	"syscall"
	"testing"
	"time"
)

// sampling is a coordinator of the sampling pool alone, with a run to draw from.
type sampling struct {
	t   *testing.T
	dir string
	cmd *exec.Cmd
	// address is HOST:PORT, join what else a worker joins by.
	address string
	join    []string
}

var poolJoin = regexp.MustCompile(`ddpm-worker --role sample --join (\S+) (.*)$`)

// serveSampling trains a little and starts the pool on what came of it.
func serveSampling(t *testing.T) *sampling {
	t.Helper()
	s := &sampling{t: t, dir: t.TempDir(), address: "127.0.0.1:0"}
	if r := train(t, s.dir, "--workers", "1", "--steps", "2"); r.code != 0 {
		t.Fatal(r.stderr)
	}
	s.start()
	return s
}

// start starts the coordinator, at the address where it was before.
func (s *sampling) start() {
	s.t.Helper()
	s.cmd = prepare(s.t, nil, "ddpm-coordinator", "--serve-samples", "--data-dir", s.dir, "--listen", s.address)
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

// worker starts one of the pool's.
func (s *sampling) worker() *exec.Cmd {
	s.t.Helper()
	args := append([]string{"--role", "sample", "--threads", "1", "--join", s.address}, s.join...)
	cmd := prepare(s.t, nil, "ddpm-worker", args...)
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
	return run(s.t, nil, "ddpmctl", append(args, "--config", filepath.Join(s.dir, "admin.conf"))...)
}

// jobArgs are of a job that takes a while.
var jobArgs = []string{"sample", "--run", "tiny", "--n", "64", "--sampler", "ddim", "--steps", "200", "--eta", "0.5", "--seed", "7", "--trajectory", "5"}

// alone draws the job with no cluster.
func (s *sampling) alone() map[string]string {
	s.t.Helper()
	out := filepath.Join(s.t.TempDir(), "alone")
	if r := run(s.t, nil, "ddpmctl", append(jobArgs, "--storage", s.dir, "--out", out)...); r.code != 0 {
		s.t.Fatal(r.stderr)
	}
	return hashes(s.t, out)
}

// submit queues the job and gives its id.
func (s *sampling) submit() string {
	s.t.Helper()
	r := s.ctl(append(jobArgs, "--detach")...)
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

// fetch waits for the job and compares its files, fetched and in the Store, to others.
func (s *sampling) fetch(id string, want map[string]string) {
	s.t.Helper()
	out := filepath.Join(s.t.TempDir(), "fetched")
	if r := s.ctl("jobs", "fetch", id, "--out", out); r.code != 0 {
		s.t.Fatal(r.stderr)
	}
	for place, got := range map[string]map[string]string{
		"fetched":      hashes(s.t, out),
		"in the Store": hashes(s.t, filepath.Join(s.dir, "runs", "tiny", "samples", id)),
	} {
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
	if len(want) != 64+4 {
		t.Fatalf("a job of 64 images has %d files", len(want))
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
