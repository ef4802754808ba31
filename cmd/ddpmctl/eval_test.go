package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm"
)

// What is refused before any run is looked for.
func TestEvalRefuses(t *testing.T) {
	folder := t.TempDir()
	for says, args := range map[string][]string{
		"--dataset is needed": nil,
		"--n 1: must be in 2": {"--dataset", "glyphs://", "--n", "1"},
		"2 … 250000":          {"--dataset", "glyphs://?n=2147483648", "--n", "2147483648"},
		"--threads 0":         {"--dataset", "glyphs://", "--threads", "0"},
	} {
		for _, what := range []string{"nll", "loss"} {
			var stdout, stderr bytes.Buffer
			code := run(t.Context(), append([]string{"eval", what, "--storage", folder}, args...), &stdout, &stderr)
			if code != exitUsage || !strings.Contains(stderr.String(), says) {
				t.Errorf("%s %v: exit code %d, %q; want %q", what, args, code, stderr.String(), says)
			}
		}
	}
}

// Images whose labels are no classes of the model are refused before any is measured.
func TestEvalLooksAtTheLabels(t *testing.T) {
	p, err := ddpm.FindPreset("tiny")
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	publish(t, folder, p.Spec.WithClasses(5, 0.1))
	var stdout, stderr bytes.Buffer
	code := run(t.Context(), []string{"eval", "loss", "--storage", folder, "--dataset", "glyphs://?n=40", "--n", "40", "--terms", "2"}, &stdout, &stderr)
	if code != exitUsage || !strings.Contains(stderr.String(), "the model has classes 0 … 4; measure on") {
		t.Errorf("exit code %d, %q", code, stderr.String())
	}
}
