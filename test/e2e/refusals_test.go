package e2e

import (
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Each mistake gets one line that says what is wrong and what to do, the right
// exit code, and leaves nothing behind.
func TestRefusals(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	notAFolder := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(notAFolder, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, v := range []struct {
		name string
		args []string
		code int
		want []string
	}{
		{"no workers", []string{"--workers", "0"}, 2, []string{"workers"}},
		{"a batch that shard-size does not divide", []string{"--workers", "2", "--batch", "64", "--shard-size", "7"}, 2, []string{"shard-size 7", "64", "8"}},
		{"an unknown preset", []string{"--workers", "2", "--preset", "cifar"}, 2, []string{"cifar10"}},
		{"an unknown flag", []string{"--workers", "2", "--worker", "3"}, 2, []string{"--worker"}},
		{"min-workers above workers", []string{"--workers", "2", "--min-workers", "3"}, 2, []string{"min-workers"}},
		{"a port already taken", []string{"--workers", "2", "--listen", taken.Addr().String()}, 1, []string{taken.Addr().String(), "--listen"}},
		{"storage that can't be written", []string{"--workers", "2", "--storage", notAFolder}, 1, []string{notAFolder, "--storage"}},
		{"a dataset that isn't there", []string{"--workers", "2", "--dataset", "/no/such/data"}, 1, []string{"/no/such/data", "glyphs://"}},
		{"a bad run name", []string{"--workers", "2", "--run", "../x"}, 2, []string{"../x"}},
	} {
		t.Run(v.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			args := append([]string{"--local", "--preset", "tiny", "--data-dir", dir}, v.args...)
			r := run(t, nil, "ddpm-coordinator", args...)
			line, rest, _ := strings.Cut(r.stderr, "\n")
			if r.code != v.code || rest != "" || !strings.HasPrefix(line, "ddpm-coordinator: ") {
				t.Errorf("exit code %d (want %d), standard error:\n%s", r.code, v.code, r.stderr)
			}
			for _, w := range v.want {
				if !strings.Contains(line, w) {
					t.Errorf("the line does not say %q: %s", w, line)
				}
			}
			if r.stdout != "" {
				t.Errorf("standard output: %q", r.stdout)
			}
			if _, err := os.Stat(dir); err == nil {
				t.Errorf("%s was left behind", dir)
			}
		})
	}
}

func TestWorkerRefusals(t *testing.T) {
	if r := run(t, nil, "ddpm-worker"); r.code != 2 || !strings.Contains(r.stderr, "--join") {
		t.Errorf("without --join: exit code %d, %s", r.code, r.stderr)
	}
	if r := run(t, []string{"DDPM_CPU_LEVEL=quantum"}, "ddpm-worker", "--join", "127.0.0.1:1"); r.code == 0 || !strings.Contains(r.stderr, "DDPM_CPU_LEVEL") {
		t.Errorf("with an unknown CPU level: exit code %d, %s", r.code, r.stderr)
	}
}

func TestDdpmctlRefusals(t *testing.T) {
	empty := t.TempDir()
	for _, v := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"sample", "--storage", empty, "--run", "x"}, 2, "--out"},
		{[]string{"sample", "--storage", empty, "--run", "x", "--out", "x.png", "--n", "0"}, 2, "--n"},
		{[]string{"sample", "--storage", empty, "--run", "x", "--out", filepath.Join(empty, "x.png")}, 1, "no such run"},
		{[]string{"digest", "--storage", empty}, 1, "no run"},
		{[]string{"digset"}, 2, "digset"},
		{[]string{"digest", "--storage", "ftp://x"}, 2, "ftp"},
	} {
		r := run(t, nil, "ddpmctl", v.args...)
		if r.code != v.code || !strings.Contains(r.stderr, v.want) || strings.Count(r.stderr, "\n") != 1 {
			t.Errorf("ddpmctl %v: exit code %d, want %d and %q: %s", v.args, r.code, v.code, v.want, r.stderr)
		}
	}
}

// The dry run prints the resolved configuration and touches nothing.
func TestDryRun(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	file := filepath.Join(t.TempDir(), "run.yaml")
	if err := os.WriteFile(file, []byte("workers: 3\npreset: cifar10\nseed: 9\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	r := run(t, nil, "ddpm-coordinator", "--config", file, "--data-dir", dir, "--seed", "11", "--dry-run")
	if r.code != 0 || !strings.Contains(r.stdout, "seed: 11") || !strings.Contains(r.stdout, "cifar10") {
		t.Errorf("exit code %d: %s%s", r.code, r.stdout, r.stderr)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("a dry run made the data dir")
	}
	if err := os.WriteFile(file, []byte("workers: 3\nsede: 9\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	r = run(t, nil, "ddpm-coordinator", "--config", file, "--dry-run")
	if r.code != 2 || !strings.Contains(r.stderr, "sede") || !strings.Contains(r.stderr, "seed") {
		t.Errorf("an unknown key: exit code %d: %s", r.code, r.stderr)
	}
}

// A worker of another version or of another build is told so in one line; the
// coordinator goes on waiting for one that fits.
func TestOtherWorkersAreRefused(t *testing.T) {
	for _, v := range []struct {
		name  string
		flags []string // of go build
		want  string
	}{
		{"another version", []string{"-ldflags", "-X github.com/ddpm-cluster/ddpm-cluster.version=v0.0.1"}, "version v0.0.1"},
		{"other sources", []string{"-overlay", editedSources(t)}, "would not compute the same bits"},
	} {
		t.Run(v.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := build(dir, "./cmd/ddpm-worker", v.flags...); err != nil {
				t.Fatal(err)
			}
			var other, fits result
			follow(t, once(func(_ int, line string) {
				other = run(t, nil, filepath.Join(dir, "ddpm-worker"), joinFlags(line)...)
				fits = run(t, nil, "ddpm-worker", joinFlags(line, "--threads", "1")...)
			}, "ddpm-worker --join"),
				"--preset", "tiny", "--data-dir", t.TempDir(), "--steps", "2", "--workers", "1", "--listen", "127.0.0.1:0").lastLine(t)
			line := other.complaint()
			if other.code != 1 || !strings.HasPrefix(line, "ddpm-worker: ") || !strings.Contains(line, v.want) || !strings.Contains(line, "install the same on both") {
				t.Errorf("exit code %d, standard error:\n%s", other.code, other.stderr)
			}
			if fits.code != 0 {
				t.Errorf("the worker that fits ended with %d:\n%s", fits.code, fits.stderr)
			}
		})
	}
}

// editedSources writes an overlay for go build in which a source that decides the
// bits has one comment more.
func editedSources(t *testing.T) string {
	t.Helper()
	source, err := filepath.Abs(filepath.Join(root, "ddpm", "update.go"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(source)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	edited, overlay := filepath.Join(dir, "update.go"), filepath.Join(dir, "overlay.json")
	replace, err := json.Marshal(map[string]any{"Replace": map[string]string{source: edited}})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.WriteFile(edited, append(text, "\n// edited\n"...), 0o644), os.WriteFile(overlay, replace, 0o644)); err != nil {
		t.Fatal(err)
	}
	return overlay
}
