package coordinator

import (
	"bytes"
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

// A run.json that was edited is another config than the checkpoints'.
func TestTheConfigIsEdited(t *testing.T) {
	t.Parallel()
	args := []string{"--workers", "1", "--steps", "10"}
	c := launch(t, t.TempDir(), nil, args...)
	p := c.team(1)[0]
	p.trained(10, 1)
	c.finished(10, p)
	path := filepath.Join(c.dir, "runs", "tiny", "run.json")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	edited := bytes.Replace(text, []byte(`"seed": 1`), []byte(`"seed": 2`), 1)
	if bytes.Equal(edited, text) {
		t.Fatalf("no seed in %s", text)
	}
	resume := func(text []byte) error {
		if err := os.WriteFile(path, text, 0o644); err != nil {
			t.Fatal(err)
		}
		return Run(t.Context(), Options{
			Config: settings(t, append(args, "--preset", "tiny", "--data-dir", c.dir, "--listen", "127.0.0.1:0", "--insecure")...),
			Stdout: new(bytes.Buffer), Stderr: new(bytes.Buffer),
		})
	}
	if err := resume(edited); err == nil || !strings.Contains(err.Error(), "is not the one that the checkpoint of step 10 was made with") {
		t.Errorf("edited: %v", err)
	}
	if err := resume(text); err != nil {
		t.Errorf("put back: %v", err)
	}
}
