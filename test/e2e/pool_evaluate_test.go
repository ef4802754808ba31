package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// An evaluation's report has the same bytes from pools of any size, from one whose worker
// is killed, and from one machine alone.
func TestPoolEvaluates(t *testing.T) {
	t.Parallel()
	s := serveSampling(t)
	args := []string{"eval", "nll", "--run", "tiny", "--dataset", "glyphs://?n=40&seed=2", "--n", "32", "--terms", "300", "--seed", "5", "--json"}
	alone := run(t, s.env, "ddpmctl", append(args, "--storage", s.storage)...)
	if alone.code != 0 {
		t.Fatal(alone.stderr)
	}
	s.evaluate(args, alone.stdout)
	if r := s.ctl("eval", "loss", "--run", "tiny", "--dataset", "glyphs://?n=40&seed=2", "--n", "6", "--terms", "9"); r.code != 0 || !strings.Contains(r.stdout, "L_simple") {
		t.Errorf("for people: %s%s", r.stdout, r.stderr)
	}
	for says, args := range map[string][]string{
		"no such run":              {"--run", "nosuch", "--dataset", "glyphs://"},
		"no checkpoint of step 77": {"--run", "tiny", "--step", "77", "--dataset", "glyphs://"},
		"n 41":                     {"--run", "tiny", "--dataset", "glyphs://?n=40", "--n", "41"},
		"terms 5000":               {"--run", "tiny", "--dataset", "glyphs://", "--terms", "5000"},
		"nosuchfile":               {"--run", "tiny", "--dataset", "/nosuchfile"},
		"--threads":                {"--run", "tiny", "--dataset", "glyphs://", "--threads", "1"},
		"--dataset is needed":      {"--run", "tiny"},
	} {
		if r := s.ctl(append([]string{"eval", "loss"}, args...)...); r.code == 0 || !strings.Contains(r.complaint(), says) {
			t.Errorf("%v: exit code %d, %q; want %q", args, r.code, r.stderr, says)
		}
	}
}

// evaluate measures by pools of one, two and four workers, of whom one is killed at last.
func (s *sampling) evaluate(args []string, want string) {
	s.t.Helper()
	var workers []*exec.Cmd
	for _, n := range []int{1, 2, 4} {
		for len(workers) < n {
			workers = append(workers, s.worker())
		}
		if r := s.ctl(args...); r.code != 0 || r.stdout != want {
			s.t.Errorf("%d workers: %s%s; one machine alone says %s", n, r.stdout, r.stderr, want)
		}
	}
	r := s.ctl(append(args, "--detach")...)
	id := strings.TrimSpace(r.stdout)
	s.midway(id)
	for _, w := range workers[1:] {
		if err := w.Process.Kill(); err != nil {
			s.t.Fatal(err)
		}
	}
	out := filepath.Join(s.t.TempDir(), "report")
	if r := s.ctl("jobs", "fetch", id, "--out", out); r.code != 0 {
		s.t.Fatal(r.stderr)
	}
	if got, err := os.ReadFile(filepath.Join(out, "report.json")); err != nil || string(got) != want {
		s.t.Errorf("with workers killed: %v, %s; one machine alone says %s", err, got, want)
	}
}
