package coordinator

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
	"github.com/ddpm-cluster/ddpm-cluster/storage/checkpoint"
)

// A checkpoint that is damaged after all workers are lost ends the run, and the next start
// takes the one before. A worker that can't read one that is whole is alone to blame.
func TestTheCheckpointIsDamaged(t *testing.T) {
	t.Parallel()
	args := []string{"--workers", "1", "--steps", "30", "--checkpoint-every", "10"}
	c := launch(t, t.TempDir(), nil, args...)
	p := c.team(1)[0]
	p.trained(10, 1)
	p.save(10, digest("a"))
	p.trained(20, 1)
	p.save(20, digest("b"))
	c.await(func() bool { _, err := os.Stat(manifestOf(c.dir, 20)); return err == nil })
	p.cancel()
	at := uint64(20)
	fail := &ddpmv1.WorkerMessage{Body: &ddpmv1.WorkerMessage_Failure{Failure: &ddpmv1.Failure{Reason: "its SHA-256 is another", Checkpoint: &at}}}
	second := c.team(1)[0]
	second.say(fail)
	second.dismissed()
	c.await(func() bool { return strings.Contains(c.log.String(), "which is whole: look at that machine") })
	part := filepath.Join(c.dir, filepath.FromSlash(checkpoint.StepPrefix("tiny", 20)+checkpoint.PartKey(0, 1)))
	if err := os.Truncate(part, 100); err != nil {
		t.Fatal(err)
	}
	third := c.team(1)[0]
	third.say(fail)
	c.failed("the checkpoint of step 20 can't be read", "the newest checkpoint that is whole")
	c = launch(t, c.dir, nil, args...)
	p = c.team(1)[0]
	if g := p.given.GetGeneration(); g.GetStartStep() != 10 {
		t.Errorf("it begins with %v", g)
	}
	c.finished(30, p)
}
