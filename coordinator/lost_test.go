package coordinator

import (
	"strings"
	"syscall"
	"testing"

	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
)

// The metrics count who is lost, and not who leaves as it asked to.
func TestLostWorkersAreCounted(t *testing.T) {
	t.Parallel()
	c := launch(t, t.TempDir(), nil, "--workers", "3", "--steps", "1", "--http", "127.0.0.1:0")
	waitFor(t, c.log, statusLine)
	polite, failing := c.join("polite"), c.join("failing")
	polite.say(&ddpmv1.WorkerMessage{Body: &ddpmv1.WorkerMessage_Leaving{Leaving: &ddpmv1.Leaving{Reason: "it was asked to end"}}})
	polite.dismissed()
	if text := string(c.get("metrics")); !strings.Contains(text, "\nddpm_workers_lost_total 0\n") {
		t.Errorf("after one has left:\n%s", text)
	}
	failing.say(&ddpmv1.WorkerMessage{Body: &ddpmv1.WorkerMessage_Failure{Failure: &ddpmv1.Failure{Reason: "it has no such dataset"}}})
	failing.dismissed()
	c.await(func() bool { return strings.Contains(string(c.get("metrics")), "\nddpm_workers_lost_total 1\n") })
	c.interrupts <- syscall.SIGINT
	c.interrupts <- syscall.SIGINT
	c.failed("")
}
