package worker

import (
	"context"
	"fmt"

	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
)

// obey follows one directive. It says whether the worker's life ends with it, and
// with which error.
func (l *life) obey(ctx context.Context, m *ddpmv1.CoordinatorMessage) (end bool, err error) {
	switch body := m.Body.(type) {
	case *ddpmv1.CoordinatorMessage_Assignment:
		if err := l.assign(ctx, body.Assignment); err != nil {
			return true, l.fail(err)
		}
	case *ddpmv1.CoordinatorMessage_Halt:
		l.halt(body.Halt)
	case *ddpmv1.CoordinatorMessage_Yield:
		l.yield(body.Yield)
	case *ddpmv1.CoordinatorMessage_Dismiss:
		d := body.Dismiss
		switch {
		case d.GetOk():
			l.log.Info("dismissed", "reason", d.GetReason())
			return true, nil
		case d.GetAgain():
			l.log.Warn("given up for lost; joining again", "reason", d.GetReason())
			return false, nil
		}
		return true, fmt.Errorf("the coordinator ended this worker: %s", d.GetReason())
	default:
		l.log.Warn("ignored a directive that this version does not know", "type", fmt.Sprintf("%T", m.Body))
	}
	return false, nil
}

// assign leaves the current generation, if any, for the assigned one.
func (l *life) assign(ctx context.Context, a *ddpmv1.Assignment) error {
	number := a.GetGeneration().GetNumber()
	if l.trainer == nil {
		return fmt.Errorf("generation %d is assigned to a worker that is not available yet; use the same version on both sides", number)
	}
	if l.current != nil && number <= l.current.number {
		l.log.Warn("refused a generation that is not newer", "generation", number, "current", l.current.number)
		return nil
	}
	g, err := newGeneration(context.WithoutCancel(ctx), l.id, l.trainer.run.spec.Shards(), a, &l.generations)
	if err != nil {
		return err
	}
	if err := checkGroups(l.trainer.run.spec, a); err != nil {
		return err
	}
	g.security = l.member.Worker
	l.member.Admit(names(a.GetGeneration()))
	if l.current != nil {
		l.trainer.leave(l.current, departure{cause: errLeft, broke: errLeft.Error(), unreachable: -1})
	}
	l.config.Where.Generation(number)
	l.log.Info("assigned", "generation", number, "rank", g.rank, "of", g.size, "shards", g.self.GetShards(),
		"step", g.startStep(), "lack", g.self.GetLack(), "reason", a.GetGeneration().GetReason())
	l.current = g
	l.trainer.assign(g)
	l.begin(g)
	l.catchUpReports(func() {}, a.GetReportedStep())
	return nil
}

// catchUpReports calls turn, after which the session is the one to speak on, and tells,
// as rank 0, of the steps that the coordinator has not heard of.
func (l *life) catchUpReports(turn func(), reported uint64) {
	g := l.current
	if g == nil || g.rank != 0 {
		turn()
		return
	}
	l.trainer.backlog.catchUp(turn, reported, g.number, func(p *ddpmv1.Progress) {
		l.office.send(&ddpmv1.WorkerMessage{Body: &ddpmv1.WorkerMessage_Progress{Progress: p}})
	})
}

// halt leaves the ring at once.
func (l *life) halt(h *ddpmv1.Halt) {
	if g := l.current; g != nil && g.number <= h.GetGeneration() {
		l.log.Info("halted", "generation", g.number, "reason", h.GetReason())
		l.trainer.leave(g, departure{cause: fmt.Errorf("generation %d is over: %s", g.number, h.GetReason()), unreachable: -1})
	}
}

// yield votes for leaving the ring at the next boundary.
func (l *life) yield(y *ddpmv1.Yield) {
	g := l.current
	if g == nil || g.number != y.GetGeneration() {
		return
	}
	l.log.Info("yielding at the next boundary", "generation", g.number, "reason", y.GetReason())
	t := l.trainer
	t.mu.Lock()
	defer t.mu.Unlock()
	g.yields, g.saves = true, g.saves || y.GetSave()
}

// names are those of the members that a worker knows of a generation, which know it.
func names(g *ddpmv1.Generation) []string {
	var all []string
	for _, m := range g.GetMembers() {
		all = append(all, m.GetWorkerId())
	}
	return all
}
