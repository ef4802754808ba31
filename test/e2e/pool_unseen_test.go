package e2e

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A worker that does not see the images to measure on draws the job behind; the evaluation
// waits for one that does, whose report is that of one machine alone.
func TestPoolWithImagesThatOneWorkerDoesNotSee(t *testing.T) {
	t.Parallel()
	const here = "/proc/self/cwd" // another place to each process
	if _, err := os.Stat(here); err != nil {
		t.Skip("only where a process' folder has a path: ", err)
	}
	s := &sampling{t: t, dir: t.TempDir(), address: "127.0.0.1:0", folder: t.TempDir()}
	s.storage = s.dir
	if r := train(t, s.dir, "--run", "tiny", "--workers", "1", "--steps", "2", "--storage", s.storage); r.code != 0 {
		t.Fatal(r.stderr)
	}
	writeIDX(t, filepath.Join(s.folder, "held", "t10k-images-idx3-ubyte"), 4, 8)
	s.start()
	seeing := s.folder

	args := []string{"eval", "loss", "--run", "tiny", "--dataset", here + "/held", "--n", "4", "--terms", "5", "--json"}
	alone := prepare(t, s.env, "ddpmctl", append(args, "--storage", s.storage)...)
	alone.Dir = seeing
	want, err := alone.Output()
	if err != nil {
		t.Fatal(err)
	}
	r := s.ctl(append(args, "--detach")...)
	id := strings.TrimSpace(r.stdout)
	if r.code != 0 {
		t.Fatal(r.stderr)
	}
	s.folder = t.TempDir()
	blind := s.worker()
	if r := s.ctl("sample", "--run", "tiny", "--n", "1", "--sampler", "ddim", "--steps", "2", "--out", filepath.Join(t.TempDir(), "drawn")); r.code != 0 {
		t.Fatalf("the job behind: %s", r.stderr)
	}
	s.folder = seeing
	s.worker()
	out := filepath.Join(t.TempDir(), "report")
	if r := s.ctl("jobs", "fetch", id, "--out", out); r.code != 0 {
		t.Fatal(r.stderr)
	}
	if got, err := os.ReadFile(filepath.Join(out, "report.json")); err != nil || string(got) != string(want) {
		t.Errorf("%v, %s; one machine alone says %s", err, got, want)
	}
	if blind.ProcessState != nil || blind.Process.Signal(syscall.Signal(0)) != nil {
		t.Error("the worker that does not see the images has ended")
	}
}

// writeIDX writes a file of n black images, as MNIST's are.
func writeIDX(t *testing.T, path string, n, size int) {
	t.Helper()
	text := []byte{0, 0, 8, 3}
	for _, side := range []int{n, size, size} {
		text = binary.BigEndian.AppendUint32(text, uint32(side))
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, append(text, make([]byte, n*size*size)...), 0o600); err != nil {
		t.Fatal(err)
	}
}
