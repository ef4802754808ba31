package coordinator

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ddpm-cluster/ddpm-cluster/coordinator/core"
	"github.com/ddpm-cluster/ddpm-cluster/coordinator/registry"
	"github.com/ddpm-cluster/ddpm-cluster/coordinator/report"
	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
)

// do does one effect of the machine's.
func (l *loop) do(ctx context.Context, effect core.Effect) {
	switch e := effect.(type) {
	case core.Admit:
		l.admit(ctx, e)
	case core.Ask:
		l.send(ctx, e.Worker, &ddpmv1.CoordinatorMessage{Body: &ddpmv1.CoordinatorMessage_Ask{Ask: &ddpmv1.Ask{}}})
	case core.Refuse:
		l.log.Warn("refused a worker", "worker", e.Worker, "host", l.sessions[e.Worker].hello.GetHostname(), "reason", e.Reason)
		l.drop(e.Worker, status.Error(codes.FailedPrecondition, e.Reason))
	case core.Persist:
		l.persist(ctx, e.Generation)
	case core.Assign:
		l.assign(ctx, e)
	case core.Halt:
		l.notice()
		l.send(ctx, e.Worker, &ddpmv1.CoordinatorMessage{Body: &ddpmv1.CoordinatorMessage_Halt{Halt: &ddpmv1.Halt{Generation: e.Generation, Reason: e.Reason}}})
	case core.Yield:
		l.notice()
		l.send(ctx, e.Worker, &ddpmv1.CoordinatorMessage{Body: &ddpmv1.CoordinatorMessage_Yield{Yield: &ddpmv1.Yield{Generation: e.Generation, Reason: e.Reason, Save: e.Save}}})
	case core.Publish:
		l.publish(ctx, e)
	case core.GiveUp:
		l.log.Warn("a checkpoint is given up", "step", e.Step, "generation", e.Generation, "reason", e.Reason)
		l.view.gaveUp(fmt.Sprintf("step %d: %s", e.Step, e.Reason))
	case core.Note:
		l.log.Warn(e.Text)
	case core.Dismiss:
		l.dismiss(ctx, e)
	case core.End:
		l.end = &e
		l.view.ended(e)
	}
}

// leaseLength is a worker's lease in etcd, in times of how often it is renewed: as often
// as a worker may be silent, and less often where there are many.
const leaseLength = 3

func (l *loop) admit(ctx context.Context, e core.Admit) {
	s := l.sessions[e.Worker]
	h := s.hello
	place := report.Place{RingAddress: h.GetRingAddress(), Hostname: h.GetHostname(), PID: h.GetPid(), Threads: h.GetThreads(), CPULevel: h.GetCpuLevel(), CoreFlopsPerSecond: h.GetCoreFlopsPerSecond()}
	l.leases.begin(ctx, e.Worker, place, leaseLength*max(l.limits.silence.Max, 3*e.Heartbeat))
	l.view.joined(e.Worker, place)
	l.log.Info("a worker joined", "worker", e.Worker, "host", h.GetHostname(), "pid", h.GetPid(), "cpu", h.GetCpuLevel(), "ring", h.GetRingAddress(), "back", h.GetResume() != nil)
	l.send(ctx, e.Worker, &ddpmv1.CoordinatorMessage{Body: &ddpmv1.CoordinatorMessage_Welcome{Welcome: &ddpmv1.Welcome{
		WorkerId: e.Worker, Run: l.plan.run, RunId: l.plan.runID, Spec: l.plan.spec, Storage: l.plan.storage,
		HeartbeatMilliseconds: uint32(e.Heartbeat.Milliseconds()), AskMilliseconds: uint32(e.Ask.Milliseconds()), Threads: uint32(l.plan.threads),
		ReportedStep: l.progress.done, CompareEvery: l.plan.compareEvery,
	}}})
}

// dismiss ends a worker's session.
func (l *loop) dismiss(ctx context.Context, e core.Dismiss) {
	switch {
	case l.machine.Phase() == "ended":
	case e.OK:
		l.log.Info("a worker left", "worker", e.Worker, "reason", e.Reason)
	default:
		l.log.Warn("a worker is gone", "worker", e.Worker, "reason", e.Reason)
		l.view.metrics.Lost()
	}
	l.view.gone(e.Worker, e.Reason)
	l.send(ctx, e.Worker, &ddpmv1.CoordinatorMessage{Body: &ddpmv1.CoordinatorMessage_Dismiss{Dismiss: &ddpmv1.Dismiss{Ok: e.OK, Reason: e.Reason, Again: e.Again}}})
	l.drop(e.Worker, nil)
}

// stored is how storing a generation went.
type stored struct {
	generation uint64
	err        error
}

// wasStored lets a generation begin. That etcd has a newer one is no news of a former
// generation; of this one it says that somebody else decides.
func (l *loop) wasStored(ctx context.Context, s stored) {
	if s.generation == l.storing {
		l.storing = 0
	}
	if g, _ := l.machine.Generation(); s.err != nil && g.Number == s.generation {
		l.step(ctx, core.Broken{Reason: fmt.Sprintf("generation %d can't be stored in etcd: %v", s.generation, s.err)})
		return
	}
	l.step(ctx, core.Persisted{Generation: s.generation})
}

// persist stores a generation beside the loop, which goes on hearing workers. It
// tries until etcd takes it: members train on meanwhile, or wait.
func (l *loop) persist(ctx context.Context, g core.Generation) {
	l.notice()
	l.storing = g.Number
	l.where.Generation(g.Number)
	l.log.Info("a generation", "generation", g.Number, "members", len(g.Members), "step", g.StartStep, "reason", g.Reason)
	l.view.generation(g)
	began := time.Now()
	l.beside(ctx, func(ctx context.Context) {
		failing := false
		var err error
		for {
			err = l.registry.PutGeneration(ctx, g.Number, g)
			if err == nil {
				break
			}
			if errors.Is(err, registry.ErrSuperseded) {
				break // what this was to be is over, or should not have been
			}
			if !failing && ctx.Err() == nil {
				l.log.Warn("can't store a generation in etcd; trying again", "generation", g.Number, "err", err)
			}
			failing = true
			select {
			case <-time.After(l.limits.retry):
			case <-ctx.Done():
				return
			}
		}
		l.tracePersisted(g, began)
		select {
		case l.persisted <- stored{g.Number, err}:
		case <-ctx.Done():
		}
	})
}

func (l *loop) assign(ctx context.Context, e core.Assign) {
	if l.assignments.generation.Number != e.Generation.Number {
		l.assignments = newAssignments(e.Generation)
	}
	l.send(ctx, e.Worker, &ddpmv1.CoordinatorMessage{Body: &ddpmv1.CoordinatorMessage_Assignment{Assignment: l.assignments.of(e.Rank, l.progress.done)}})
	if e.Rank == len(e.Generation.Members)-1 {
		l.log.Info("all members have been told", "generation", e.Generation.Number, "seconds", time.Since(l.noticed).Seconds())
		l.noticed = time.Time{}
	}
}

// notice begins a change of generation, unless one is under way.
func (l *loop) notice() {
	if l.noticed.IsZero() {
		l.noticed = time.Now()
	}
}

// publish makes a checkpoint of the members' parts, beside the loop.
func (l *loop) publish(ctx context.Context, e core.Publish) {
	parts := make([]*ddpmv1.PartSaved, len(e.Parts))
	for rank, p := range e.Parts {
		parts[rank] = p.(*ddpmv1.PartSaved)
	}
	l.publisher.add(ctx, e, parts)
}

// send gives a directive to a worker's stream. A worker that does not read is cut
// off rather than waited for.
func (l *loop) send(ctx context.Context, id string, m *ddpmv1.CoordinatorMessage) {
	s := l.sessions[id]
	if s == nil {
		return
	}
	m.Term = l.registry.Term()
	select {
	case s.out <- m:
	default:
		l.log.Warn("a worker does not read its directives", "worker", id)
		l.drop(id, status.Error(codes.ResourceExhausted, "the worker does not read its directives"))
		l.step(ctx, core.Left{Worker: id, Reason: "it does not read its directives"})
	}
}

// drop ends a worker's session, after what was sent to it.
func (l *loop) drop(id string, reason error) {
	s := l.sessions[id]
	if s == nil {
		return
	}
	delete(l.sessions, id)
	s.refused = reason
	close(s.out)
	l.leases.end(id)
}
