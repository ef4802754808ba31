package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ddpm-cluster/ddpm-cluster/coordinator/initial"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm"
	"github.com/ddpm-cluster/ddpm-cluster/storage"
	"github.com/ddpm-cluster/ddpm-cluster/storage/checkpoint"
)

// publish makes a run of the spec with a checkpoint of step 0, and returns the folder of
// the checkpoint, which is one of diffusers too.
func publish(t *testing.T, dir string, spec ddpm.Spec) string {
	t.Helper()
	st, err := storage.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	text, err := spec.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if err := checkpoint.CreateRun(t.Context(), st, "r", text); err != nil {
		t.Fatal(err)
	}
	s := initial.Source{Model: spec.Model, Diffusion: spec.Diffusion, Weights: make([]float32, spec.Model.ParamCount())}
	if _, err := s.Publish(t.Context(), st, "r"); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, filepath.FromSlash(checkpoint.StepPrefix("r", 0)))
}

// A network is imported where pictures can be drawn from it.
func TestImportWantsPixels(t *testing.T) {
	for channels, says := range map[int]string{1: "", 3: "", 4: "images of 4 channels"} {
		p, err := ddpm.FindPreset("tiny")
		if err != nil {
			t.Fatal(err)
		}
		p.Spec.Model.InChannels, p.Spec.Model.OutChannels = channels, channels
		folder, to := publish(t, t.TempDir(), p.Spec), t.TempDir()
		var stdout, stderr bytes.Buffer
		code := run(t.Context(), []string{"checkpoints", "import", "--from", folder, "--run", "x", "--storage", to}, &stdout, &stderr)
		if (code == 0) != (says == "") || !strings.Contains(stderr.String(), says) {
			t.Errorf("%d channels: exit code %d, %q; want %q", channels, code, stderr.String(), says)
		}
		if entries, err := os.ReadDir(to); err != nil || says != "" && len(entries) != 0 {
			t.Errorf("%d channels: it leaves %v, %v", channels, entries, err)
		}
	}
}
