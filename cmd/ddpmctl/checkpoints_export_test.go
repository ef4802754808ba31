package main

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm"
)

// What an export prints works in diffusers: its pipeline has no classes to give to a
// network that wants them.
func TestExportSaysHowToOpenIt(t *testing.T) {
	p, err := ddpm.FindPreset("tiny")
	if err != nil {
		t.Fatal(err)
	}
	for classes, says := range map[int]string{0: "in Python: DDPMPipeline.from_pretrained(", 5: "in Python: UNet2DModel.from_pretrained("} {
		store, out := t.TempDir(), filepath.Join(t.TempDir(), "out")
		publish(t, store, p.Spec.WithClasses(classes, 0.1*float64(min(classes, 1))))
		var stdout, stderr bytes.Buffer
		code := run(t.Context(), []string{"checkpoints", "export", "--storage", store, "--run", "r", "--out", out}, &stdout, &stderr)
		if code != 0 || !strings.Contains(stdout.String(), says) {
			t.Errorf("%d classes: exit code %d, %q, %s; want %q", classes, code, stdout.String(), stderr.String(), says)
		}
		if classes > 0 && !strings.Contains(stdout.String(), "class_labels of 0 … 5") { // the last is none
			t.Errorf("the classes are not in %q", stdout.String())
		}
	}
}
