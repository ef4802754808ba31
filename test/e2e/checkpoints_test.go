package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fixture is a folder that diffusers has written.
var fixture = filepath.Join(root, "coordinator", "initial", "testdata", "nested")

// A run that begins with imported weights keeps the law, and its config says which.
func TestSameBitsFromImportedWeights(t *testing.T) {
	args := []string{"--init", fixture, "--run", "i"}
	_, want := train(t, t.TempDir(), append(args, "--steps", "6", "--workers", "1")...).lastLine(t)
	dir := t.TempDir()
	train(t, dir, append(args, "--steps", "3", "--workers", "3")...).lastLine(t)
	if _, got := train(t, dir, append(args, "--steps", "6", "--workers", "2")...).lastLine(t); got != want {
		t.Errorf("digest %s, one quiet worker has %s", got, want)
	}
	if _, got := train(t, t.TempDir(), "--steps", "6", "--workers", "1").lastLine(t); got == want {
		t.Error("the weights to begin with make no difference")
	}
	if r := train(t, dir, "--run", "i", "--steps", "8", "--workers", "1", "--init", filepath.Join(dir, "runs", "i", "checkpoints", "step-00000003")); r.code != 2 || !strings.Contains(r.complaint(), "init: sha256:") {
		t.Errorf("other weights: exit code %d, %s", r.code, r.complaint())
	}
}

// What ddpmctl says of checkpoints, from import to deletion.
func TestCheckpointsCommands(t *testing.T) {
	dir := t.TempDir()
	ctl := func(code int, args ...string) string {
		t.Helper()
		r := run(t, nil, "ddpmctl", append(append([]string{"checkpoints"}, args...), "--storage", dir)...)
		if r.code != code {
			t.Fatalf("%v: exit code %d\n%s%s", args, r.code, r.stdout, r.stderr)
		}
		return r.stdout + r.stderr
	}
	has := func(text string, words ...string) {
		t.Helper()
		for _, w := range words {
			if !strings.Contains(text, w) {
				t.Errorf("%q lacks %q", text, w)
			}
		}
	}
	train(t, dir, "--steps", "12", "--workers", "2", "--checkpoint-every", "2", "--keep-last", "2", "--keep-every", "6").lastLine(t)
	list := ctl(0, "list")
	has(list, "\n6 ", "\n10 ", "\n12 ", "complete")
	if strings.Count(list, "complete") != 3 {
		t.Errorf("listed\n%s", list)
	}
	has(ctl(0, "list", "--json"), `"step": 10`, `"complete": true`)
	has(ctl(0, "show", "--step", "6"), "step 6", "unet/config.json", "metrics.json")
	has(ctl(0, "show", "--json"), `"step": 12`, `"config"`)
	has(ctl(0, "verify"), "step 6: whole", "step 12: whole")

	part := filepath.Join(dir, "runs", "tiny", "checkpoints", "step-00000010", "state", "part-00001-of-00002.safetensors")
	data, err := os.ReadFile(part)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)-9] ^= 1
	if err := os.WriteFile(part, data, 0o666); err != nil {
		t.Fatal(err)
	}
	has(ctl(1, "verify"), "step 10: can't be used", "part-00001-of-00002", "1 of 3")
	has(ctl(1, "verify", "--step", "10", "--json"), `"whole": false`)

	folder := filepath.Join(t.TempDir(), "out")
	has(ctl(0, "export", "--out", folder), "from_pretrained")
	has(ctl(1, "export", "--out", folder), "name a new folder")
	has(ctl(0, "import", "--from", folder, "--run", "again"), "run again")
	has(ctl(0, "import", "--from", folder, "--run", "again", "--json"), `"step": 0`)
	has(ctl(1, "import", "--from", fixture, "--run", "again"), "with another config")
	out := filepath.Join(t.TempDir(), "x.png")
	if r := run(t, nil, "ddpmctl", "sample", "--storage", dir, "--run", "again", "--n", "1", "--sampler", "ddim", "--steps", "2", "--out", out); r.code != 0 {
		t.Errorf("sample: %s", r.stderr)
	}

	has(ctl(1, "delete", "--run", "tiny", "--step", "12"), "--force")
	has(ctl(1, "delete", "--run", "tiny", "--step", "7"), "no checkpoint of step 7")
	has(ctl(0, "delete", "--run", "tiny", "--step", "12", "--force"), "deleted")
	has(ctl(0, "delete", "--run", "tiny", "--step", "10", "--force", "--json"), `"step": 10`)
	has(ctl(0, "list", "--run", "tiny"), "\n6 ")
	has(ctl(2, "delete", "--run", "tiny"), "--step is needed")
}
