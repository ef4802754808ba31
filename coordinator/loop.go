package coordinator

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ddpm-cluster/ddpm-cluster/coordinator/core"
	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
)

// tick is how often the machine hears that time passes.
const tick = 500 * time.Millisecond

// records is where the loop keeps membership; package registry's Leader is the
// real one. Each call is bounded in time and fails once another coordinator
// leads.
type records interface {
	Term() uint64
	Lost() <-chan struct{}
	PutGeneration(ctx context.Context, value any) error
	PutWorker(ctx context.Context, id string, value any, ttl time.Duration) error
	KeepWorker(ctx context.Context, id string) error
	DropWorker(ctx context.Context, id string) error
}

// loop is the one goroutine that feeds the machine and does its effects.
type loop struct {
	machine  *core.Machine
	registry records
	plan     welcome
	limits   limits
	keeper   *keeper
	progress *progress
	log      *slog.Logger

	sessions map[string]*session
	leases   *leases
	// parts holds, by step and worker, what came with a Saved event.
	parts map[uint64]map[string]*ddpmv1.PartSaved
	// closed is the last step whose parts were given up.
	closed uint64
	// pending are events that wait for the effects of the first of them.
	pending   []core.Event
	publisher *publisher
	// newest is the newest checkpoint, nil before the first.
	newest *CheckpointState
	// local hears of child processes that ended.
	local <-chan childEnd
	view  *view
	end   *core.End
}

// welcome is what every worker is told when it joins.
type welcome struct {
	run, runID, storage    string
	spec                   []byte
	steps, checkpointEvery uint64
	threads                int
}

// run feeds the machine until the run ends.
func (l *loop) run(ctx context.Context, events <-chan sessionEvent, interrupts <-chan os.Signal) (core.End, error) {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	interrupted := false
	for l.end == nil {
		select {
		case e := <-events:
			l.hear(ctx, e)
		case o := <-l.publisher.outcomes:
			l.published(ctx, o)
		case e := <-l.local:
			l.childEnded(ctx, e)
		case <-l.registry.Lost():
			l.step(ctx, core.Broken{Reason: "the leadership in etcd is lost: its lease could not be kept, or another coordinator took over"})
		case <-ticker.C:
			l.step(ctx, core.Tick{})
			l.progress.tick(time.Now())
		case <-interrupts:
			if interrupted {
				return core.End{}, errInterrupted
			}
			interrupted = true
			l.log.Warn("interrupted: making a checkpoint, then stopping; interrupt again to end at once")
			l.step(ctx, core.StopRequested{Reason: "interrupted"})
		case <-ctx.Done():
			return core.End{}, context.Cause(ctx)
		}
	}
	return *l.end, nil
}

// hear turns what a session says into events.
func (l *loop) hear(ctx context.Context, e sessionEvent) {
	id := e.from.id
	if e.message == nil && e.err == nil {
		l.sessions[id] = e.from
		l.step(ctx, core.Joined{Worker: id, Address: e.from.hello.GetRingAddress(), Version: e.from.hello.GetVersion(), Build: e.from.hello.GetBuild()})
		return
	}
	if l.sessions[id] != e.from {
		return // it was dismissed already
	}
	if e.err != nil {
		l.drop(id, nil)
		l.step(ctx, core.Left{Worker: id, Reason: e.err.Error()})
		return
	}
	switch body := e.message.Body.(type) {
	case *ddpmv1.WorkerMessage_Heartbeat:
		l.step(ctx, core.Heard{Worker: id})
		l.view.heard(id, body.Heartbeat.GetStep())
		l.leases.heard(id)
	case *ddpmv1.WorkerMessage_Ready:
		l.step(ctx, core.Ready{Worker: id, Generation: body.Ready.GetGeneration()})
	case *ddpmv1.WorkerMessage_Progress:
		l.step(ctx, core.Heard{Worker: id})
		l.progressed(ctx, id, body.Progress)
	case *ddpmv1.WorkerMessage_PartSaved:
		l.saved(ctx, id, body.PartSaved)
	case *ddpmv1.WorkerMessage_Failure:
		l.step(ctx, core.Failed{
			Worker: id, Consequence: body.Failure.GetConsequence(),
			Reason: fmt.Sprintf("after step %d: %s", body.Failure.GetStep(), body.Failure.GetReason()),
		})
	}
}

// progressed notes a completed step, of which rank 0 tells, once.
func (l *loop) progressed(ctx context.Context, id string, p *ddpmv1.Progress) {
	g, _ := l.machine.Generation()
	if p.GetGeneration() != g.Number || len(g.Members) == 0 || g.Members[0].Worker != id || !l.progress.next(p.GetStep()) {
		return
	}
	l.progress.step(time.Now(), p)
	l.view.progressed(p)
	if err := l.keeper.metric(p); err != nil {
		l.step(ctx, core.Broken{Reason: err.Error()})
	}
}

// openSteps bounds how many steps have some of their parts at once. They are many
// where one member stores its part much slower than others, which go on meanwhile:
// the older steps are given up then.
const openSteps = 64

// saved keeps a part until its step is published.
func (l *loop) saved(ctx context.Context, id string, p *ddpmv1.PartSaved) {
	step := p.GetStep()
	g, _ := l.machine.Generation()
	if p.GetGeneration() != g.Number || l.machine.Phase() != "training" || l.newest != nil && step <= l.newest.Step || step <= l.closed {
		return
	}
	if l.parts[step] == nil {
		if !l.due(p) {
			l.drop(id, status.Error(codes.InvalidArgument, "no checkpoint is due at that step"))
			l.step(ctx, core.Left{Worker: id, Reason: fmt.Sprintf("it saved step %d, at which no checkpoint is due", step)})
			return
		}
		for len(l.parts) >= openSteps {
			l.closed = slices.Min(slices.Collect(maps.Keys(l.parts)))
			delete(l.parts, l.closed)
		}
		l.parts[step] = map[string]*ddpmv1.PartSaved{}
	}
	l.parts[step][id] = p
	l.step(ctx, core.Saved{
		Worker: id, Generation: p.GetGeneration(), Step: step,
		Digest: p.GetDigest(), Last: p.GetLast(), Loss: p.GetLoss(),
	})
}

// due says that a checkpoint can be made at a part's step.
func (l *loop) due(p *ddpmv1.PartSaved) bool {
	every := l.plan.checkpointEvery
	return p.GetStep() <= l.plan.steps && (p.GetLast() || every > 0 && p.GetStep()%every == 0)
}

// step gives an event to the machine and does what it says. An effect may lead to
// another event: that one waits until all effects of this one are done.
func (l *loop) step(ctx context.Context, e core.Event) {
	l.pending = append(l.pending, e)
	if len(l.pending) > 1 {
		return
	}
	for len(l.pending) > 0 {
		for _, effect := range l.machine.Step(time.Now(), l.pending[0]) {
			l.do(ctx, effect)
		}
		l.pending = l.pending[1:]
	}
}

// published tells the machine first, and people after it.
func (l *loop) published(ctx context.Context, o outcome) {
	l.publisher.took(ctx)
	e := o.checkpoint
	delete(l.parts, e.Step) // what came once more
	if o.givenUp {
		l.log.Warn("gave up a checkpoint", "step", e.Step, "reason", o.err)
		return
	}
	if o.err != nil {
		if l.end != nil { // which has its reason already
			l.log.Warn("a checkpoint could not be published", "step", e.Step, "err", o.err)
		}
		l.step(ctx, core.Broken{Reason: o.err.Error()})
		return
	}
	l.newest = &CheckpointState{e.Step, e.Digest}
	l.step(ctx, core.Published{Step: e.Step})
	l.view.checkpoint(*l.newest)
	l.log.Info("checkpoint", "step", e.Step, "loss", fmt.Sprintf("%.4f", e.Loss), "digest", e.Digest[:min(len(e.Digest), 19)], "at", l.keeper.place(e.Step))
}

// childEnded finds the session behind a local worker's process, if it had one.
func (l *loop) childEnded(ctx context.Context, e childEnd) {
	for id, s := range l.sessions {
		if e.is(s.hello) {
			l.drop(id, nil)
			l.step(ctx, core.Left{Worker: id, Reason: e.how})
			return
		}
	}
	// While the run trains, the machine has heard of the session's end.
	if l.machine.Phase() != "training" {
		l.step(ctx, core.Broken{Reason: e.how})
	}
}

// settle ends what the run has under way beside the loop: checkpoints whose parts
// are all there are published, leases are let go. Both take a bounded time, and
// none if ctx ends.
func (l *loop) settle(ctx context.Context) {
	for id := range l.sessions {
		l.drop(id, status.Error(codes.Unavailable, "the coordinator ends"))
	}
	for l.publisher.busy() {
		l.published(ctx, <-l.publisher.outcomes)
	}
	l.publisher.work.Wait()
	l.leases.wait()
}

// resume says what the next start does, as part of a sentence.
func (l *loop) resume() string {
	if l.newest == nil {
		return "the next start begins again from step 0"
	}
	return fmt.Sprintf("the next start resumes from the checkpoint of step %d", l.newest.Step)
}
