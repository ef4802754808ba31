package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm"
	"github.com/ddpm-cluster/ddpm-cluster/storage"
	"github.com/ddpm-cluster/ddpm-cluster/storage/checkpoint"
)

// again publishes one more checkpoint of the run, with a part that is damaged if bad.
func again(t *testing.T, dir string, spec ddpm.Spec, step uint64, bad bool) {
	t.Helper()
	st, err := storage.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	n := spec.Model.ParamCount()
	values := make([]float32, n)
	o, err := checkpoint.WritePart(t.Context(), st, "r", step, 0, 1, checkpoint.Part{Total: int64(n), Weights: values, M: values, V: values, EMA: values})
	if err != nil {
		t.Fatal(err)
	}
	if err := checkpoint.Publish(t.Context(), st, checkpoint.Manifest{
		Run: "r", Step: step, Digest: "sha256:" + strings.Repeat("0", 64), Params: int64(n), Parts: 1, Objects: []checkpoint.Object{o},
	}); err != nil {
		t.Fatal(err)
	}
	if !bad {
		return
	}
	path := filepath.Join(dir, filepath.FromSlash(checkpoint.StepPrefix("r", step)+o.Key))
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)-1] ^= 1
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// What a coordinator would resume from is not deleted by mistake, also where the newest
// checkpoint has the right sizes and the wrong bytes.
func TestDeleteGuardsWhatIsResumed(t *testing.T) {
	p, err := ddpm.FindPreset("tiny")
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range []struct {
		bad   bool // step 9 is damaged; 6, 3 and 0 are whole
		step  int
		force bool
		says  string // of a refusal
	}{
		{bad: false, step: 9, says: "newest checkpoint"},
		{bad: false, step: 9, force: true},
		{bad: false, step: 6},
		{bad: true, step: 9, says: "newest checkpoint"},
		{bad: true, step: 6, says: "newest whole checkpoint"},
		{bad: true, step: 6, force: true},
		{bad: true, step: 3},
	} {
		dir := t.TempDir()
		publish(t, dir, p.Spec)
		again(t, dir, p.Spec, 3, false)
		again(t, dir, p.Spec, 6, false)
		again(t, dir, p.Spec, 9, k.bad)
		args := []string{"checkpoints", "delete", "--storage", dir, "--run", "r", "--step", strconv.Itoa(k.step)}
		if k.force {
			args = append(args, "--force")
		}
		var stdout, stderr bytes.Buffer
		code := run(t.Context(), args, &stdout, &stderr)
		if (code != 0) != (k.says != "") || !strings.Contains(stderr.String(), k.says) || k.says != "" && !strings.Contains(stderr.String(), "--force") {
			t.Errorf("%+v: exit code %d, %q", k, code, stderr.String())
		}
		_, err := os.Stat(filepath.Join(dir, filepath.FromSlash(checkpoint.StepPrefix("r", uint64(k.step)))))
		if os.IsNotExist(err) != (k.says == "") {
			t.Errorf("%+v: its folder: %v", k, err)
		}
	}
}
