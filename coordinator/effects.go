package coordinator

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ddpm-cluster/ddpm-cluster/coordinator/core"
	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
)

// do does one effect of the machine's.
func (l *loop) do(ctx context.Context, effect core.Effect) {
	switch e := effect.(type) {
	case core.Admit:
		l.admit(ctx, e)
	case core.Refuse:
		l.log.Warn("refused a worker", "worker", e.Worker, "host", l.sessions[e.Worker].hello.GetHostname(), "reason", e.Reason)
		l.drop(e.Worker, status.Error(codes.FailedPrecondition, e.Reason))
	case core.Persist:
		l.persist(ctx, e.Generation)
	case core.Assign:
		l.assign(ctx, e)
	case core.Begin:
		l.send(ctx, e.Worker, &ddpmv1.CoordinatorMessage{Body: &ddpmv1.CoordinatorMessage_Begin{Begin: &ddpmv1.Begin{Generation: e.Generation}}})
		l.view.phase(l.machine.Phase())
	case core.Stop:
		l.send(ctx, e.Worker, &ddpmv1.CoordinatorMessage{Body: &ddpmv1.CoordinatorMessage_Stop{Stop: &ddpmv1.Stop{Reason: e.Reason}}})
	case core.Publish:
		l.publish(ctx, e)
	case core.Dismiss:
		if !e.OK && l.machine.Phase() != "ended" {
			l.log.Warn("a worker left", "worker", e.Worker, "reason", e.Reason, "workers", len(l.sessions))
		}
		l.send(ctx, e.Worker, &ddpmv1.CoordinatorMessage{Body: &ddpmv1.CoordinatorMessage_Dismiss{Dismiss: &ddpmv1.Dismiss{Ok: e.OK, Reason: e.Reason}}})
		l.drop(e.Worker, nil)
	case core.End:
		l.end = &e
		l.view.ended(e)
	}
}

func (l *loop) admit(ctx context.Context, e core.Admit) {
	s := l.sessions[e.Worker]
	h := s.hello
	member := workerRecord{h.GetRingAddress(), h.GetHostname(), h.GetPid(), h.GetThreads(), h.GetCpuLevel()}
	if err := l.registry.PutWorker(ctx, e.Worker, member, l.limits.silence); err != nil {
		l.step(ctx, core.Broken{Reason: err.Error()})
		return
	}
	l.leases.begin(ctx, e.Worker)
	l.view.joined(e.Worker, member)
	l.log.Info("a worker joined", "worker", e.Worker, "host", h.GetHostname(), "pid", h.GetPid(), "cpu", h.GetCpuLevel(), "ring", h.GetRingAddress())
	l.send(ctx, e.Worker, &ddpmv1.CoordinatorMessage{Body: &ddpmv1.CoordinatorMessage_Welcome{Welcome: &ddpmv1.Welcome{
		WorkerId: e.Worker, Run: l.plan.run, RunId: l.plan.runID, Spec: l.plan.spec, Storage: l.plan.storage,
		HeartbeatMilliseconds: uint32(l.limits.heartbeat.Milliseconds()), Threads: uint32(l.plan.threads),
	}}})
}

// workerRecord is a worker as etcd and the status hold it.
type workerRecord struct {
	RingAddress string `json:"ring_address"`
	Hostname    string `json:"hostname"`
	PID         uint32 `json:"pid"`
	Threads     uint32 `json:"threads"`
	CPULevel    string `json:"cpu_level"`
}

func (l *loop) persist(ctx context.Context, g core.Generation) {
	l.log.Info("a generation", "generation", g.Number, "members", len(g.Members), "step", g.StartStep, "reason", g.Reason)
	if err := l.registry.PutGeneration(ctx, g); err != nil {
		l.step(ctx, core.Broken{Reason: err.Error()})
		return
	}
	l.view.generation(g)
	l.step(ctx, core.Persisted{Generation: g.Number})
}

func (l *loop) assign(ctx context.Context, e core.Assign) {
	g := &ddpmv1.Generation{Number: e.Generation.Number, StartStep: e.Generation.StartStep, Reason: e.Generation.Reason, Source: ddpmv1.StateSource_STATE_SOURCE_INITIAL}
	if e.Generation.FromCheckpoint {
		g.Source = ddpmv1.StateSource_STATE_SOURCE_CHECKPOINT
	}
	for _, m := range e.Generation.Members {
		g.Members = append(g.Members, &ddpmv1.Member{WorkerId: m.Worker, RingAddress: m.Address, FirstShard: uint32(m.FirstShard), Shards: uint32(m.Shards)})
	}
	l.send(ctx, e.Worker, &ddpmv1.CoordinatorMessage{Body: &ddpmv1.CoordinatorMessage_Assignment{Assignment: &ddpmv1.Assignment{
		Generation: g, Rank: uint32(e.Rank), LastStep: l.plan.steps, CheckpointEvery: l.plan.checkpointEvery,
	}}})
}

// publish makes a checkpoint of the members' parts, beside the loop.
func (l *loop) publish(ctx context.Context, e core.Publish) {
	parts := make([]*ddpmv1.PartSaved, len(e.Members))
	for rank, id := range e.Members {
		parts[rank] = l.parts[e.Step][id]
	}
	delete(l.parts, e.Step)
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
	l.view.left(id)
	l.leases.end(id)
}
