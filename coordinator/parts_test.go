package coordinator

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A member that saves what nobody asked for fills no memory with it.
func TestPartsThatAreNotDue(t *testing.T) {
	t.Parallel()
	c := launch(t, t.TempDir(), nil, "--workers", "2", "--steps", "100", "--checkpoint-every", "10")
	peers := c.team(2)
	for step := uint64(1); step <= 20; step++ {
		peers[1].save(step, digest("a"))
	}
	for _, p := range peers {
		p.finish(100, digest("b"))
	}
	for _, p := range peers {
		p.dismissed()
	}
	if err := c.end(); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(c.log.String(), "a checkpoint is given up") {
		t.Error("none is given up")
	}
}

// A member whose part is not in the Store makes no checkpoint; it is tried again.
func TestPartElsewhere(t *testing.T) {
	t.Parallel()
	c := launch(t, t.TempDir(), nil, "--workers", "2", "--steps", "1")
	peers := c.team(2)
	storage := peers[1].run.GetStorage()
	peers[1].run.Storage = t.TempDir()
	for _, p := range peers {
		p.finish(1, digest("a"))
	}
	for _, p := range peers {
		p.assigned()
	}
	if g := peers[0].given.GetGeneration(); !g.GetSaveAtStart() || g.GetStartStep() != 1 || g.GetLastStep() != 1 {
		t.Errorf("after it they are assigned %v", g)
	}
	if log := c.log.String(); !strings.Contains(log, "part-00001-of-00002.safetensors is missing") || !strings.Contains(log, "s3://") {
		t.Error("nobody says what is missing")
	}
	if _, err := os.Stat(manifestOf(c.dir, 1)); err == nil {
		t.Error("it is published")
	}
	peers[1].run.Storage = storage
	for _, p := range peers {
		p.finish(1, digest("a"))
	}
	for _, p := range peers {
		p.dismissed()
	}
	if err := c.end(); err != nil {
		t.Error(err)
	}
}

// One that says more than it should neither stops the run nor changes it.
func TestFlood(t *testing.T) {
	t.Parallel()
	c := launch(t, t.TempDir(), nil, "--workers", "2", "--steps", "3", "--checkpoint-every", "2")
	peers := c.team(2)
	for i := range uint64(2000) {
		peers[1].beat(i)
		peers[1].trained(i, math.NaN()) // not rank 0
	}
	peers[0].trained(1, math.NaN()) // an overflow
	peers[0].trained(1, 3)
	peers[0].trained(2, 0.5)
	for range 50 {
		peers[1].save(2, digest("a"))
	}
	peers[0].save(2, digest("a"))
	c.await(func() bool { _, err := os.Stat(manifestOf(c.dir, 2)); return err == nil })
	for range 50 {
		peers[1].save(2, digest("b")) // too late
	}
	peers[0].trained(3, 1)
	peers[0].trained(4, 1) // there is no such step
	peers[1].finish(3, digest("c"))
	peers[0].finish(3, digest("c"))
	for _, p := range peers {
		p.dismissed()
	}
	if err := c.end(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(c.dir, "runs", "tiny", "metrics.jsonl"))
	if err != nil || strings.Count(string(text), "\n") != 3 || !strings.Contains(string(text), `{"step":1,"loss":null,`) {
		t.Errorf("metrics, %v:\n%s", err, text)
	}
}

// A part that comes once more, while its step is being published, is kept by nobody.
func TestPartsThatComeTwice(t *testing.T) {
	t.Parallel()
	const steps = 40
	c := launch(t, t.TempDir(), nil, "--workers", "2", "--steps", fmt.Sprint(steps), "--checkpoint-every", "1")
	peers := c.team(2)
	for step := uint64(1); step <= steps; step++ {
		for range 2 {
			for _, p := range peers {
				p.save(step, digest("a"))
			}
		}
		c.await(func() bool { _, err := os.Stat(manifestOf(c.dir, int(step))); return err == nil })
	}
	for _, p := range peers {
		p.stand(steps)
	}
	for _, p := range peers {
		p.dismissed()
	}
	if err := c.end(); err != nil {
		t.Error(err)
	}
}
