package coordinator

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image/png"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ddpm-cluster/ddpm-cluster/coordinator/report"
	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
	"github.com/ddpm-cluster/ddpm-cluster/storage/checkpoint"
)

// A run from its first worker to its closing line, and what it leaves.
func TestFullLife(t *testing.T) {
	t.Parallel()
	c := launch(t, t.TempDir(), nil, "--workers", "2", "--steps", "20", "--checkpoint-every", "10")
	peers := c.team(2)
	c.checkAssignments(peers, 0, ddpmv1.StateSource_STATE_SOURCE_INITIAL)
	for step := uint64(1); step <= 20; step++ {
		peers[0].trained(step, 1/float64(step))
		if step == 10 {
			peers[1].save(10, digest("a"))
			peers[0].save(10, digest("a"))
		}
	}
	peers[0].finish(20, digest("b"))
	peers[1].finish(20, digest("b"))
	for _, p := range peers {
		if d := p.dismissed(); !d.GetOk() {
			t.Errorf("%s is dismissed with %q", p.id, d.GetReason())
		}
	}
	if err := c.end(); err != nil {
		t.Fatal(err)
	}
	if want := "run tiny: step 20 loss 0.250000 digest " + digest("b") + "\n"; c.stdout.String() != want {
		t.Errorf("the last line is %q, want %q", c.stdout, want)
	}
	for step, d := range map[uint64]string{10: digest("a"), 20: digest("b")} {
		m, err := checkpoint.At(t.Context(), c.store(), "tiny", step)
		if err != nil || m.Digest != d || m.Parts != 2 {
			t.Fatalf("step %d: %+v, %v", step, m, err)
		}
		if err := checkpoint.Verify(t.Context(), c.store(), m); err != nil {
			t.Error(err)
		}
	}
	c.checkPicture(20)
	c.checkMetrics(20)
}

// checkAssignments holds what the members were told against each other.
func (c *cluster) checkAssignments(peers []*peer, start uint64, source ddpmv1.StateSource) {
	c.t.Helper()
	next := uint32(0)
	for rank, p := range peers {
		g := p.given.GetGeneration()
		if int(p.given.GetRank()) != rank || g.GetStartStep() != start || g.GetSource() != source || g.GetReason() == "" || int(g.GetSize()) != len(peers) {
			c.t.Errorf("%s is assigned %v", p.id, p.given)
		}
		m := g.GetMembers()[rank]
		if m.GetWorkerId() != p.id || m.GetRingAddress() != fmt.Sprintf("host%d:1", rank) || m.GetFirstShard() != next {
			c.t.Errorf("rank %d is %v", rank, m)
		}
		next += m.GetShards()
	}
	if int(next) != peers[0].spec.Shards() {
		c.t.Errorf("the members have %d shards, a step has %d", next, peers[0].spec.Shards())
	}
}

// checkPicture: the four previews, each of one shade, are in the order of their
// numbers.
func (c *cluster) checkPicture(step int) {
	c.t.Helper()
	text, err := os.ReadFile(filepath.Join(filepath.Dir(manifestOf(c.dir, step)), "samples.png"))
	if err != nil {
		c.t.Fatal(err)
	}
	picture, err := png.Decode(bytes.NewReader(text))
	if err != nil {
		c.t.Fatal(err)
	}
	b := picture.Bounds()
	for i := range 4 {
		shade, _, _, _ := picture.At(b.Dx()/4+i%2*b.Dx()/2, b.Dy()/4+i/2*b.Dy()/2).RGBA()
		if shade>>8 != uint32(i) {
			c.t.Errorf("image %d has the shade %d", i, shade>>8)
		}
	}
}

// checkMetrics: each step has one line.
func (c *cluster) checkMetrics(steps int) {
	c.t.Helper()
	text, err := os.ReadFile(filepath.Join(c.dir, "runs", "tiny", "metrics.jsonl"))
	if err != nil {
		c.t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	if len(lines) != steps {
		c.t.Fatalf("%d lines of metrics, want %d", len(lines), steps)
	}
	for i, line := range lines {
		var m report.Line
		if err := json.Unmarshal([]byte(line), &m); err != nil || m.Step != uint64(i+1) || float64(m.Loss) != 1/float64(i+1) || m.Images == 0 {
			c.t.Errorf("line %d is %s: %v", i, line, err)
		}
	}
}

// A run that was ended at once goes on from the newest checkpoint at the next start,
// in a later generation, and asks nobody to do its steps again. One that is complete
// needs no worker.
func TestResume(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := launch(t, dir, nil, "--workers", "2", "--steps", "20", "--checkpoint-every", "10")
	peers := c.team(2)
	generation, runID := peers[0].generation(), peers[0].run.GetRunId()
	for step := uint64(1); step <= 12; step++ {
		peers[0].trained(step, 1/float64(step))
	}
	peers[0].save(10, digest("a"))
	peers[1].save(10, digest("a"))
	c.await(func() bool { _, err := os.Stat(manifestOf(dir, 10)); return err == nil })
	c.interrupts <- syscall.SIGINT
	c.interrupts <- syscall.SIGINT
	c.failed("interrupted twice", "step 10")

	c = launch(t, dir, func(o *Options) { o.limits.adopt = time.Millisecond }, "--workers", "1", "--steps", "20", "--checkpoint-every", "10")
	p := c.team(1)[0]
	c.checkAssignments([]*peer{p}, 10, ddpmv1.StateSource_STATE_SOURCE_CHECKPOINT)
	if p.generation() <= generation || p.run.GetRunId() != runID || p.id == peers[0].id || p.id == peers[1].id {
		t.Errorf("%s in generation %d after %d, run id %q, before %q", p.id, p.generation(), generation, p.run.GetRunId(), runID)
	}
	for step := uint64(11); step <= 20; step++ {
		p.trained(step, 1/float64(step))
	}
	p.finish(20, digest("c"))
	p.dismissed()
	if err := c.end(); err != nil {
		t.Fatal(err)
	}
	c.checkMetrics(20)

	var out, log bytes.Buffer
	again := Options{Config: settings(t, "--preset", "tiny", "--data-dir", dir, "--workers", "1", "--steps", "20", "--checkpoint-every", "10", "--listen", "127.0.0.1:0", "--insecure"), Stdout: &out, Stderr: &log}
	if err := Run(t.Context(), again); err != nil || out.String() != fmt.Sprintf("run tiny: step 20 loss 0.050000 digest %s\n", digest("c")) {
		t.Errorf("a run that is complete: %q, %v\n%s", out.String(), err, &log)
	}
}

// await waits until a condition holds that nobody tells of.
func (c *cluster) await(ok func() bool) {
	c.t.Helper()
	for end := time.Now().Add(wait); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			c.t.Fatal("it does not happen")
		}
	}
}

// Whoever would not compute the same bits, or is no worker, is sent away with the
// reason; the run waits on.
func TestRefusals(t *testing.T) {
	t.Parallel()
	c := launch(t, t.TempDir(), func(o *Options) { o.limits.hello = 100 * time.Millisecond }, "--workers", "1", "--steps", "1")
	for _, v := range []struct {
		name string
		say  *ddpmv1.WorkerMessage
		want string
	}{
		{"another build", helloWith(func(h *ddpmv1.Hello) { h.Build = "sha256:beef" }), "build"},
		{"another version", helloWith(func(h *ddpmv1.Hello) { h.Version = "v0" }), "version v0"},
		{"no ring", helloWith(func(h *ddpmv1.Hello) { h.RingAddress = "" }), "ring address"},
		{"no port", helloWith(func(h *ddpmv1.Hello) { h.RingAddress = "host" }), "ring address"},
		{"no Hello", &ddpmv1.WorkerMessage{Body: &ddpmv1.WorkerMessage_Ready{Ready: &ddpmv1.Ready{Generation: 1}}}, "Hello"},
		{"a long story", helloWith(func(h *ddpmv1.Hello) { h.Hostname = strings.Repeat("x", maxHello) }), "a Hello of"},
		{"an empty message", &ddpmv1.WorkerMessage{}, "Hello"},
		{"not a word", nil, "no Hello for 100ms"},
	} {
		t.Run(v.name, func(t *testing.T) {
			p := c.open()
			p.t = t
			if v.say != nil {
				p.say(v.say)
			}
			if reason := p.refused(); !strings.Contains(reason, v.want) {
				t.Errorf("it is told %q, want %q", reason, v.want)
			}
		})
	}
	p := c.team(1)[0]
	p.finish(1, digest("a"))
	p.dismissed()
	if err := c.end(); err != nil {
		t.Error(err)
	}
}

func helloWith(bend func(*ddpmv1.Hello)) *ddpmv1.WorkerMessage {
	h := hello("odd")
	bend(h)
	return &ddpmv1.WorkerMessage{Body: &ddpmv1.WorkerMessage_Hello{Hello: h}}
}

// One that is lost while others are awaited is named, and another one may come.
func TestLostWhileWaiting(t *testing.T) {
	t.Parallel()
	c := launch(t, t.TempDir(), nil, "--workers", "2", "--steps", "1")
	first := c.join("first")
	first.say(&ddpmv1.WorkerMessage{Body: &ddpmv1.WorkerMessage_Failure{Failure: &ddpmv1.Failure{Reason: "it has no such dataset"}}})
	first.dismissed()
	c.await(func() bool {
		return strings.Contains(c.log.String(), "a worker is gone") && strings.Contains(c.log.String(), "it has no such dataset")
	})
	peers := c.team(2)
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

// The first interrupt asks the members to end, and the run ends well.
func TestStop(t *testing.T) {
	t.Parallel()
	c := launch(t, t.TempDir(), nil, "--workers", "2", "--steps", "1000")
	peers := c.team(2)
	peers[0].trained(1, 1)
	c.interrupts <- syscall.SIGINT
	for _, p := range peers {
		if y := p.yielded(); y.GetReason() != "interrupted" || !y.GetSave() {
			t.Fatalf("%s is asked %v", p.id, y)
		}
	}
	for _, p := range peers {
		p.finish(2, digest("a"))
	}
	for _, p := range peers {
		if d := p.dismissed(); !d.GetOk() {
			t.Errorf("%s is dismissed with %q", p.id, d.GetReason())
		}
	}
	if err := c.end(); err != nil || !strings.Contains(c.stdout.String(), "run tiny: step 2 ") {
		t.Errorf("%v, %q", err, c.stdout)
	}
}

// The second interrupt ends at once: members hear it, nothing is published.
func TestInterruptedTwice(t *testing.T) {
	t.Parallel()
	c := launch(t, t.TempDir(), nil, "--workers", "2", "--steps", "1000")
	peers := c.team(2)
	peers[0].save(50, digest("a"))
	c.interrupts <- syscall.SIGINT
	c.interrupts <- syscall.SIGINT
	c.failed("interrupted twice", "begins again from step 0")
	if _, err := os.Stat(manifestOf(c.dir, 50)); err == nil {
		t.Error("half a checkpoint is published")
	}
	for _, p := range peers {
		// The request to stop comes first, unless both interrupts were heard before the
		// members' being ready was.
		m, err := p.receive()
		for ; err == nil; m, err = p.receive() {
			if m.GetYield() == nil {
				t.Errorf("%s is told %v", p.id, m)
			}
		}
		if !strings.Contains(err.Error(), "the coordinator ends") {
			t.Errorf("%s is told %q", p.id, err)
		}
	}
}

// A coordinator that hands over ends at the first interrupt; nobody is told to stop.
func TestHandOver(t *testing.T) {
	t.Parallel()
	c := launch(t, t.TempDir(), nil, "--workers", "2", "--steps", "1000", "--hand-over")
	peers := c.team(2)
	c.interrupts <- syscall.SIGTERM
	c.failed("the workers train on")
	for _, p := range peers {
		if reason := p.refused(); !strings.Contains(reason, "the coordinator ends") {
			t.Errorf("%s is told %q", p.id, reason)
		}
	}
}

// Fewer workers than asked for begin when nobody else comes.
func TestMinWorkers(t *testing.T) {
	t.Parallel()
	c := launch(t, t.TempDir(), func(o *Options) { o.limits.patience = time.Millisecond }, "--workers", "5", "--min-workers", "1", "--steps", "1")
	p := c.team(1)[0]
	if reason := p.given.GetGeneration().GetReason(); !strings.Contains(reason, "1 of 5 workers") {
		t.Errorf("the reason is %q", reason)
	}
	p.finish(1, digest("a"))
	p.dismissed()
	if err := c.end(); err != nil {
		t.Error(err)
	}
}

var statusLine = regexp.MustCompile(`at=(http://\S+)`)

func TestStatus(t *testing.T) {
	t.Parallel()
	c := launch(t, t.TempDir(), nil, "--workers", "2", "--min-workers", "1", "--steps", "9", "--http", "127.0.0.1:0")
	peers := c.team(2)
	p := peers[0]
	p.trained(4, math.Inf(1))
	peers[1].say(&ddpmv1.WorkerMessage{Body: &ddpmv1.WorkerMessage_Failure{Failure: &ddpmv1.Failure{Step: 4, Reason: "its disk is full"}}})
	p.halted()
	p.stand(4)
	form(p)
	p.say(&ddpmv1.WorkerMessage{Body: &ddpmv1.WorkerMessage_Heartbeat{Heartbeat: &ddpmv1.Heartbeat{Generation: 2, Step: 4, ShardRate: 2.5}}})
	var s report.Status
	c.await(func() bool {
		m := statusLine.FindStringSubmatch(c.log.String())
		if m == nil {
			return false
		}
		r, err := http.Get(m[1] + "api/status")
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		s = report.Status{}
		if err := json.NewDecoder(r.Body).Decode(&s); err != nil {
			t.Fatal(err)
		}
		return s.Phase == "training" && len(s.Workers) == 1 && s.Workers[0].Step == 4
	})
	if s.Run != "tiny" || s.Step != 4 || s.Steps != 9 || s.Generation != 2 || s.Checkpoint != nil {
		t.Errorf("status %+v", s)
	}
	if w := s.Workers[0]; w.ID != p.id || w.Hostname != "host0" || w.ShardRate != 2.5 || w.Shards != p.spec.Shards() || w.Gone != "" {
		t.Errorf("the worker that is there: %+v", w)
	}
	if len(s.Gone) != 1 || s.Gone[0].ID != peers[1].id || !strings.Contains(s.Gone[0].Gone, "its disk is full") {
		t.Errorf("gone: %+v", s.Gone)
	}
	if len(s.History) != 2 || s.History[1].Number != 2 || s.History[1].Members != 1 || s.History[1].StartStep != 4 || s.History[1].Reason != s.Reason || s.History[1].At.IsZero() {
		t.Errorf("history: %+v, and the reason is %q", s.History, s.Reason)
	}
	c.interrupts <- syscall.SIGTERM
	c.interrupts <- syscall.SIGTERM
	c.failed("interrupted twice")
	http.DefaultClient.CloseIdleConnections()
}

// A start that fails leaves nothing, whatever it fails of.
func TestFailedStartLeavesNothing(t *testing.T) {
	t.Parallel()
	for _, v := range []struct {
		name string
		args []string
		want string
	}{
		{"no such dataset", []string{"--dataset", "/no/such/data"}, "/no/such/data"},
		{"no etcd", []string{"--etcd", "127.0.0.1:1"}, "--etcd"},
	} {
		t.Run(v.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "a", "b")
			o := Options{
				Config: settings(t, append([]string{"--preset", "tiny", "--workers", "2", "--data-dir", dir, "--listen", "127.0.0.1:0"}, v.args...)...),
				Worker: []string{"/no/such/program"}, Stdout: new(bytes.Buffer), Stderr: new(bytes.Buffer),
			}
			if err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), v.want) {
				t.Fatalf("%v, want %q", err, v.want)
			}
			left, err := filepath.Glob(filepath.Join(filepath.Dir(dir), "*"))
			if err != nil || len(left) > 0 {
				t.Errorf("left: %v, %v", left, err)
			}
		})
	}
}
