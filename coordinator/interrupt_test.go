package coordinator

import (
	"errors"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
)

// A run that is interrupted before there is anything to save has not failed: the process
// says by its exit code that somebody ended it.
func TestInterruptedBeforeAnythingWasSaved(t *testing.T) {
	t.Parallel()
	for when, begin := range map[string]func(c *cluster){
		"while workers are awaited": func(c *cluster) { c.join("first") },
		"before the first step": func(c *cluster) {
			peers := c.team(2)
			c.interrupts <- syscall.SIGINT
			for _, p := range peers {
				p.yielded()
			}
			for _, p := range peers {
				p.stand(0)
			}
		},
	} {
		t.Run(when, func(t *testing.T) {
			t.Parallel()
			c := launch(t, t.TempDir(), nil, "--workers", "2", "--steps", "20")
			begin(c)
			if strings.HasPrefix(when, "while") {
				c.interrupts <- syscall.SIGINT
			}
			if err := c.end(); !errors.Is(err, ErrInterrupted) || !strings.Contains(err.Error(), "stopped before") || !strings.Contains(err.Error(), "the next start begins again from step 0") {
				t.Errorf("it ended with %v", err)
			}
		})
	}
}

// A coordinator that is interrupted before it leads knows nothing of what is trained: members
// may train on while it starts.
func TestInterruptedBeforeItLeads(t *testing.T) {
	t.Parallel()
	interrupts := make(chan os.Signal, 1)
	interrupts <- syscall.SIGINT
	err := Run(t.Context(), Options{
		Config: settings(t, "--preset", "tiny", "--workers", "1", "--data-dir", t.TempDir(), "--listen", "127.0.0.1:0", "--insecure", "--etcd", "127.0.0.1:1"),
		Stdout: io.Discard, Stderr: io.Discard, Interrupts: interrupts,
	})
	if !errors.Is(err, ErrInterrupted) || err.Error() != "interrupted before this coordinator led the run" {
		t.Errorf("it ended with %v", err)
	}
}

// Nor has a coordinator of the pool alone that is interrupted on its way there.
func TestInterruptedBeforeThePool(t *testing.T) {
	t.Parallel()
	interrupts := make(chan os.Signal, 1)
	interrupts <- syscall.SIGINT
	err := Run(t.Context(), Options{
		Config: settings(t, "--serve-samples", "--data-dir", t.TempDir(), "--listen", "127.0.0.1:0", "--insecure", "--etcd", "127.0.0.1:1"),
		Stdout: io.Discard, Stderr: io.Discard, Interrupts: interrupts,
	})
	if !errors.Is(err, ErrInterrupted) {
		t.Errorf("it ended with %v", err)
	}
}
