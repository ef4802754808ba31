package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm"
)

// On a terminal a digest shows how much of the state has been read.
func TestDigestShowsHowFarItIs(t *testing.T) {
	t.Parallel()
	p, err := ddpm.FindPreset("tiny")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	publish(t, dir, p.Spec)
	var stdout, screened bytes.Buffer
	code := run(t.Context(), []string{"digest", "--storage", dir, "--run", "r"}, &stdout, &screen{w: &screened})
	if code != 0 || !strings.HasPrefix(stdout.String(), "run r: step 0 digest sha256:") {
		t.Errorf("exit code %d, %s", code, &stdout)
	}
	if !strings.Contains(screened.String(), "reading step 0") {
		t.Errorf("the terminal has %q", screened.String())
	}
}
