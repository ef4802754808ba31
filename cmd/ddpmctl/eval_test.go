package main

import (
	"bytes"
	"strings"
	"testing"
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
