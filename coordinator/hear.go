package coordinator

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ddpm-cluster/ddpm-cluster/coordinator/core"
	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
)

// hear turns what a session says into events.
func (l *loop) hear(ctx context.Context, e sessionEvent) {
	if e.message == nil && e.err == nil {
		l.joined(ctx, e.from)
		return
	}
	id := e.from.id
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
		l.alive(ctx, id, body.Heartbeat)
	case *ddpmv1.WorkerMessage_Available:
		l.step(ctx, core.Available{Worker: id})
	case *ddpmv1.WorkerMessage_Ready:
		l.step(ctx, core.Ready{Worker: id, Generation: body.Ready.GetGeneration()})
	case *ddpmv1.WorkerMessage_Position:
		l.step(ctx, core.Positioned{Worker: id, Position: *position(body.Position)})
	case *ddpmv1.WorkerMessage_Progress:
		l.progressed(ctx, id, body.Progress)
	case *ddpmv1.WorkerMessage_PartSaved:
		p := body.PartSaved
		l.step(ctx, core.Saved{Worker: id, Generation: p.GetGeneration(), Step: p.GetStep(), Digest: p.GetDigest(), Loss: p.GetLoss(), Part: p})
	case *ddpmv1.WorkerMessage_PartFailed:
		p := body.PartFailed
		l.step(ctx, core.SaveFailed{Worker: id, Generation: p.GetGeneration(), Step: p.GetStep(), Reason: p.GetReason()})
	case *ddpmv1.WorkerMessage_Overflow:
		o := body.Overflow
		what := fmt.Sprintf("%s is %.4g in shard %d of step %d", o.GetTensor(), o.GetValue(), o.GetShard(), o.GetStep())
		l.log.Warn("a gradient does not fit", "worker", id, "what", what)
		l.step(ctx, core.Overflowed{Worker: id, What: what})
	case *ddpmv1.WorkerMessage_Leaving:
		l.log.Info("a worker asks to leave", "worker", id, "reason", body.Leaving.GetReason())
		l.step(ctx, core.Leaving{Worker: id, Reason: body.Leaving.GetReason()})
	case *ddpmv1.WorkerMessage_Failure:
		l.step(ctx, core.Failed{Worker: id, Reason: fmt.Sprintf("after step %d: %s", body.Failure.GetStep(), body.Failure.GetReason())})
		if body.Failure.Checkpoint != nil {
			l.examine(ctx, body.Failure.GetCheckpoint())
		}
	}
}

// hearSigns takes in the signs of life that were asked for. All that are asked answer about
// at once, and to wake the loop for each would be most of what they cost.
func (l *loop) hearSigns(ctx context.Context) {
	for id, s := range l.sessions {
		if h := s.sign.Swap(nil); h != nil {
			l.alive(ctx, id, h)
		}
	}
}

func (l *loop) alive(ctx context.Context, id string, h *ddpmv1.Heartbeat) {
	believe(&h.ShardRate, &h.RingBytesPerSecond)
	l.step(ctx, core.Heard{Worker: id, Rate: h.GetShardRate(), Link: linkOf(h), Apart: h.GetApart()})
	l.view.heard(id, h)
	l.leases.heard(id)
}

// joined gives a worker its name: the one in its certificate, or the one that it
// had, unless somebody else has got that meanwhile.
func (l *loop) joined(ctx context.Context, s *session) {
	h := s.hello
	believe(&h.CoreFlopsPerSecond)
	event := core.Joined{Address: h.GetRingAddress(), Version: h.GetVersion(), Build: h.GetBuild()}
	if r := h.GetResume(); r.GetRunId() == l.plan.runID && r.GetWorkerId() != "" {
		event.Resume = position(r.GetPosition())
		if old := l.sessions[r.GetWorkerId()]; s.id == "" && (old == nil || same(old.hello, h)) {
			s.id = r.GetWorkerId()
		}
	}
	for s.id == "" {
		l.named++
		if id := fmt.Sprintf("w%d", l.named); l.sessions[id] == nil {
			s.id = id
		}
	}
	if l.sessions[s.id] != nil { // which is not yet seen to have broken
		l.drop(s.id, status.Error(codes.Aborted, "the worker has opened another session"))
		l.step(ctx, core.Left{Worker: s.id, Reason: "it has opened another session"})
	}
	event.Worker = s.id
	l.sessions[s.id] = s
	l.step(ctx, event)
}

// same says that two sessions are of one process.
func same(a, b *ddpmv1.Hello) bool {
	return a.GetHostname() == b.GetHostname() && a.GetPid() == b.GetPid() && a.GetRingAddress() == b.GetRingAddress()
}

func position(p *ddpmv1.Position) *core.Position {
	out := &core.Position{
		Generation: p.GetGeneration(), Training: p.GetTraining(),
		HasState: p.GetHasState(), Step: p.GetStep(), HasGradient: p.GetHasGradient(),
		Broke: p.GetBroke(), Unreachable: int(p.GetUnreachable()),
		Differs: p.GetDiffers(), Weights: p.GetWeights(),
	}
	for _, s := range p.GetShards() {
		out.Shards = append(out.Shards, int(s))
	}
	return out
}

// progressed notes a completed step, of which rank 0 tells, once.
func (l *loop) progressed(ctx context.Context, id string, p *ddpmv1.Progress) {
	l.step(ctx, core.Heard{Worker: id})
	g, _ := l.machine.Generation()
	if p.GetGeneration() != g.Number || len(g.Members) == 0 || g.Members[0].Worker != id || !l.progress.next(p.GetStep()) {
		return
	}
	l.where.Step(p.GetStep())
	l.progress.step(time.Now(), p)
	line := completed(p)
	l.view.progressed(line)
	if err := l.keeper.metric(line); err != nil {
		l.step(ctx, core.Broken{Reason: err.Error()})
		return
	}
	l.step(ctx, core.Progressed{Step: p.GetStep(), Skipped: p.GetSkipped()})
}
