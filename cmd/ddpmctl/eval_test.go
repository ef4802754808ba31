package main

import (
	"bytes"
	"regexp"
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

// Two images draw one timestep each beside t = 0, so most rows are of timesteps that
// nobody measured; they say so and not 0.
func TestEvalSaysWhatIsNotMeasured(t *testing.T) {
	p, err := ddpm.FindPreset("tiny")
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	publish(t, folder, p.Spec)
	for what, unmeasured := range map[string]*regexp.Regexp{
		"nll":  regexp.MustCompile(`^ *\d+-\d+ +- +\d\.\d{5} +-$`),
		"loss": regexp.MustCompile(`^ *\d+-\d+ +- +-$`),
	} {
		args := []string{"eval", what, "--storage", folder, "--dataset", "glyphs://?n=40", "--n", "2", "--terms", "2", "--bins", "10", "--threads", "1"}
		var stdout, stderr bytes.Buffer
		if code := run(t.Context(), args, &stdout, &stderr); code != 0 {
			t.Fatalf("exit code %d, %s", code, stderr.String())
		}
		lines := strings.Split(strings.TrimSpace(stdout.String()), "\n")
		n := 0
		for _, line := range lines[len(lines)-11:] {
			if unmeasured.MatchString(line) {
				n++
			}
		}
		if n < 8 || n > 9 {
			t.Errorf("%s: %d rows of 10 say that nothing was measured, want 8 or 9:\n%s", what, n, stdout.String())
		}
		stdout.Reset()
		if code := run(t.Context(), append(args, "--json"), &stdout, &stderr); code != 0 {
			t.Fatalf("exit code %d, %s", code, stderr.String())
		}
		if got := strings.Count(stdout.String(), `"l_simple": null`); got != n {
			t.Errorf("%s: the JSON has null for %d rows, want %d:\n%s", what, got, n, stdout.String())
		}
	}
}
