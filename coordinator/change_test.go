package coordinator

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ddpm-cluster/ddpm-cluster/coordinator/core"
	"github.com/ddpm-cluster/ddpm-cluster/coordinator/report"
	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
)

// finished lets the members of a generation end the run.
func (c *cluster) finished(step uint64, peers ...*peer) {
	c.t.Helper()
	for _, p := range peers {
		p.finish(step, digest("f"))
	}
	for _, p := range peers {
		if d := p.dismissed(); !d.GetOk() {
			c.t.Errorf("%s is dismissed with %q", p.id, d.GetReason())
		}
	}
	if err := c.end(); err != nil {
		c.t.Error(err)
	}
}

// A lost worker costs no step: the others keep what they have of the current one,
// and share what is missing.
func TestLostWorker(t *testing.T) {
	t.Parallel()
	c := launch(t, t.TempDir(), nil, "--workers", "3", "--min-workers", "1", "--steps", "20")
	peers := c.team(3)
	peers[0].trained(4, 1)
	peers[1].cancel()
	if h := peers[0].halted(); !strings.Contains(h.GetReason(), "worker "+peers[1].id+" was lost") {
		t.Errorf("the reason is %q", h.GetReason())
	}
	peers[2].halted()
	peers[0].stand(4, 0)
	peers[2].stand(4)
	form(peers[0], peers[2])
	g := peers[0].given.GetGeneration()
	if g.GetSource() != ddpmv1.StateSource_STATE_SOURCE_MEMBERS || g.GetStartStep() != 4 || len(g.GetMembers()) != 2 || g.GetMembers()[0].GetLack() != ddpmv1.Lack_LACK_NOTHING {
		t.Errorf("the generation is %v", g)
	}
	var all []uint32
	for rank, p := range []*peer{peers[0], peers[2]} { // each is told what it computes itself
		m := p.given.GetGeneration().GetMembers()[rank]
		all = append(append(all, m.GetKept()...), m.GetExtra()...)
	}
	slices.Sort(all)
	if kept := g.GetMembers()[0].GetKept(); !slices.Equal(kept, []uint32{0}) || len(slices.Compact(all)) != peers[0].spec.Shards() {
		t.Errorf("the first member keeps %v, and together they have %v", kept, all)
	}
	c.finished(20, peers[0], peers[2])
}

// Workers come and go at step boundaries.
func TestJoinAndLeave(t *testing.T) {
	t.Parallel()
	c := launch(t, t.TempDir(), nil, "--workers", "1", "--steps", "20")
	first := c.team(1)[0]
	second := c.join("second")
	if y := first.yielded(); y.GetSave() || !strings.Contains(y.GetReason(), second.id+" joins") {
		t.Errorf("it is asked %v", y)
	}
	first.stand(7)
	form(first, second)
	if m := second.given.GetGeneration().GetMembers()[1]; m.GetLack() != ddpmv1.Lack_LACK_STATE || m.GetWorkerId() != second.id {
		t.Errorf("the one that joined is %v", m)
	}
	first.say(&ddpmv1.WorkerMessage{Body: &ddpmv1.WorkerMessage_Leaving{Leaving: &ddpmv1.Leaving{Reason: "terminated"}}})
	for _, p := range []*peer{first, second} {
		p.yielded()
		p.stand(9)
	}
	if d := first.dismissed(); !d.GetOk() || !strings.Contains(d.GetReason(), "terminated") {
		t.Errorf("the one that leaves is told %v", d)
	}
	form(second)
	c.finished(20, second)
}

// A worker whose session broke comes back as who it was, and is taken in again. One
// of another run is a new one.
func TestComeBack(t *testing.T) {
	t.Parallel()
	c := launch(t, t.TempDir(), nil, "--workers", "2", "--min-workers", "1", "--steps", "20")
	peers := c.team(2)
	runID := peers[1].run.GetRunId()
	peers[1].cancel()
	peers[0].halted()
	peers[0].stand(4)
	form(peers[0])
	again := c.back(peers[1], &ddpmv1.Position{Generation: 1, Training: true, HasState: true, Step: 4, Unreachable: -1})
	if again.id != peers[1].id || again.run.GetRunId() != runID {
		t.Errorf("it is %s of run %s now", again.id, again.run.GetRunId())
	}
	again.halted()
	again.stand(4)
	peers[0].yielded()
	peers[0].stand(5)
	form(peers[0], again)
	if m := again.given.GetGeneration().GetMembers()[1]; m.GetLack() != ddpmv1.Lack_LACK_GRADIENT {
		t.Errorf("it comes back as %v", m)
	}

	peers[1].run.RunId = "another"
	stranger := c.back(peers[1], &ddpmv1.Position{Unreachable: -1})
	if stranger.id == peers[0].id || stranger.id == again.id {
		t.Errorf("a worker of another run is %s", stranger.id)
	}
	stranger.cancel()
	c.finished(20, peers[0], again)
}

// A worker that opens another session before the first one is seen to have broken
// has its name still.
func TestTwoSessions(t *testing.T) {
	t.Parallel()
	c := launch(t, t.TempDir(), nil, "--workers", "1", "--steps", "20")
	p := c.team(1)[0]
	again := c.back(p, &ddpmv1.Position{Generation: 1, HasState: true, Step: 4, Unreachable: -1})
	if again.id != p.id {
		t.Errorf("%s is %s now", p.id, again.id)
	}
	if reason := p.refused(); !strings.Contains(reason, "another session") {
		t.Errorf("the first session ends with %q", reason)
	}
	form(again)
	if g := again.given.GetGeneration(); g.GetStartStep() != 4 || g.GetSource() != ddpmv1.StateSource_STATE_SOURCE_MEMBERS {
		t.Errorf("it goes on in %v", g)
	}
	c.finished(20, again)
}

// A worker whose machine is gone says nothing, and is noticed by that.
func TestSilentWorker(t *testing.T) {
	t.Parallel()
	quiet := core.Silence{Min: 2 * time.Second, Max: 2 * time.Second}
	c := launch(t, t.TempDir(), func(o *Options) { o.limits.silence = quiet }, "--workers", "2", "--min-workers", "1", "--steps", "20")
	peers := []*peer{c.join("a"), c.join("b")}
	peers[0].beating()
	form(peers...)
	if h := peers[0].halted(); !strings.Contains(h.GetReason(), peers[1].id+" was lost: it has been silent") {
		t.Errorf("the reason is %q", h.GetReason())
	}
	if d := peers[1].dismissed(); d.GetOk() || !d.GetAgain() {
		t.Errorf("the silent one is told %v", d)
	}
	peers[0].stand(4)
	form(peers[0])
	c.finished(20, peers[0])
}

// The one whose bits are not those of most is sent away, and the run goes on.
func TestDifferentBits(t *testing.T) {
	t.Parallel()
	c := launch(t, t.TempDir(), nil, "--workers", "3", "--min-workers", "2", "--steps", "100", "--checkpoint-every", "50")
	peers := c.team(3)
	peers[0].save(50, digest("a"))
	peers[1].save(50, digest("b"))
	peers[2].save(50, digest("a"))
	if d := peers[1].dismissed(); d.GetOk() || d.GetAgain() || !strings.Contains(d.GetReason(), "after step 50 it holds other bits than most") {
		t.Errorf("it is told %v", d)
	}
	for _, p := range []*peer{peers[0], peers[2]} {
		p.halted()
		p.stand(51)
	}
	form(peers[0], peers[2])
	if !strings.Contains(c.log.String(), peers[1].id+" has bbbbbbbbbbbb, most have aaaaaaaaaaaa") {
		t.Error("nobody says what differs")
	}
	if _, err := os.Stat(manifestOf(c.dir, 50)); err == nil {
		t.Error("the checkpoint is published")
	}
	c.finished(100, peers[0], peers[2])
}

// restart ends a coordinator at once, as a crash does, and starts another one that
// adopts its members.
func (c *cluster) restart(adopt time.Duration, args ...string) *cluster {
	c.t.Helper()
	c.interrupts <- syscall.SIGINT
	c.interrupts <- syscall.SIGINT
	c.failed("interrupted twice")
	return launch(c.t, c.dir, func(o *Options) { o.limits.adopt = adopt }, args...)
}

// A coordinator that is started again finds its members at work, and leaves them to
// it.
func TestRestartAdopts(t *testing.T) {
	t.Parallel()
	args := []string{"--workers", "2", "--steps", "20"}
	c := launch(t, t.TempDir(), nil, args...)
	peers := c.team(2)
	peers[0].trained(1, 1)
	c = c.restart(wait, args...)
	for i, p := range peers {
		again := c.back(p, &ddpmv1.Position{Generation: 1, Training: true, HasState: true, Step: 2, Unreachable: -1})
		if again.id != p.id {
			t.Errorf("%s is %s now", p.id, again.id)
		}
		peers[i] = again
	}
	peers[0].trained(20, 0.5)
	c.finished(20, peers...)
	if !strings.Contains(c.log.String(), "host=host0") || strings.Contains(c.log.String(), "a generation\"") {
		t.Error("a generation was made")
	}
}

// Where the run was deleted and is begun anew with another config, the workers of the former
// one are not taken for members, though etcd knows of them.
func TestAnotherConfigOfTheName(t *testing.T) {
	t.Parallel()
	c := launch(t, t.TempDir(), nil, "--workers", "2", "--steps", "20", "--seed", "1")
	peers := c.team(2)
	peers[0].trained(1, 1)
	former := peers[0].run.GetRunId()
	c.interrupts <- syscall.SIGINT
	c.interrupts <- syscall.SIGINT
	c.failed("interrupted twice")
	if err := os.RemoveAll(filepath.Join(c.dir, "runs")); err != nil {
		t.Fatal(err)
	}
	c = launch(t, c.dir, nil, "--workers", "2", "--steps", "20", "--seed", "2")
	p := c.back(peers[0], &ddpmv1.Position{Generation: 1, Training: true, HasState: true, Step: 2, Unreachable: -1})
	if p.run.GetRunId() == former || p.spec.Seed != 2 {
		t.Errorf("run %s, once %s, of seed %d", p.run.GetRunId(), former, p.spec.Seed)
	}
	fresh := c.team(2)
	if g := fresh[0].given.GetGeneration(); g.GetStartStep() != 0 || g.GetNumber() < 2 {
		t.Errorf("it begins with %v", g)
	}
	c.finished(20, fresh...)
}

// Where a member does not come back, the others go on without it.
func TestRestartWithoutOne(t *testing.T) {
	t.Parallel()
	args := []string{"--workers", "2", "--min-workers", "1", "--steps", "20"}
	c := launch(t, t.TempDir(), nil, args...)
	peers := c.team(2)
	c = c.restart(time.Second, args...)
	p := c.back(peers[0], &ddpmv1.Position{Generation: 1, Training: true, HasState: true, Step: 2, Unreachable: -1})
	if h := p.halted(); !strings.Contains(h.GetReason(), "1 of the 2 members of generation 1 did not come back") {
		t.Errorf("the reason is %q", h.GetReason())
	}
	p.stand(3)
	form(p)
	if g := p.given.GetGeneration(); g.GetNumber() != 2 || g.GetStartStep() != 3 {
		t.Errorf("it goes on in %v", g)
	}
	c.finished(20, p)
}

// A member's word that can't be is not known, and blinds nobody: the status has a form, the
// metrics too, and the run goes on.
func TestMeasuresThatCannotBe(t *testing.T) {
	t.Parallel()
	c := launch(t, t.TempDir(), nil, "--workers", "1", "--steps", "20", "--http", "127.0.0.1:0")
	p := c.team(1)[0]
	inf := math.Inf(1)
	p.say(&ddpmv1.WorkerMessage{Body: &ddpmv1.WorkerMessage_Heartbeat{Heartbeat: &ddpmv1.Heartbeat{ShardRate: inf, RingBytesPerSecond: math.NaN(), LinkLatencySeconds: -inf, LinkBytesPerSecond: inf}}})
	p.say(&ddpmv1.WorkerMessage{Body: &ddpmv1.WorkerMessage_Progress{Progress: &ddpmv1.Progress{
		Generation: 1, Step: 1, Loss: math.NaN(), GradientNorm: inf, LearningRate: math.NaN(), Seconds: math.NaN(), ComputeSeconds: -1, ReduceSeconds: inf, SliceLoss: []float64{math.NaN()},
	}}})
	s := c.awaitStatus(func(s report.Status) bool { return s.Step == 1 })
	if len(s.Workers) != 1 || s.Workers[0].ShardRate != 0 || s.Loss.Finite() || s.SecondsPerStep.Finite() {
		t.Errorf("the status is %+v", s)
	}
	c.finished(20, p)
}
