package coordinator

import (
	"bytes"
	"errors"
	"strings"
	"syscall"
	"testing"
)

// How many steps a run is to have is in no run.json. One that has more than its preset's
// is not taken for complete, by a start that says nothing; with --steps it goes on.
func TestBeyondThePreset(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := launch(t, dir, nil, "--workers", "1", "--steps", "1000", "--checkpoint-every", "500")
	p := c.team(1)[0]
	p.trained(354, 1)
	c.interrupts <- syscall.SIGINT
	p.yielded()
	p.finish(354, digest("a"))
	p.dismissed()
	if err := c.end(); err != nil {
		t.Fatal(err)
	}

	again := func(args ...string) (string, error) {
		var out bytes.Buffer
		args = append([]string{"--preset", "tiny", "--data-dir", dir, "--workers", "1", "--listen", "127.0.0.1:0", "--insecure"}, args...)
		err := Run(t.Context(), Options{Config: settings(t, args...), Stdout: &out, Stderr: new(bytes.Buffer)})
		return out.String(), err
	}
	out, err := again()
	if !errors.As(err, new(UsageError)) || out != "" {
		t.Fatalf("without --steps: %q, %v", out, err)
	}
	for _, want := range []string{"run tiny", "beyond the 100 steps of preset tiny", "to step 354", "--steps"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v: want %q", err, want)
		}
	}
	if out, err := again("--steps", "354"); err != nil || !strings.HasPrefix(out, "run tiny: step 354 ") {
		t.Errorf("at the target: %q, %v", out, err)
	}
	if out, err := again("--steps", "300"); err != nil || !strings.HasPrefix(out, "run tiny: step 354 ") {
		t.Errorf("beyond a target that is given: %q, %v", out, err)
	}
}
