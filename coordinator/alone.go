package coordinator

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ddpm-cluster/ddpm-cluster/coordinator/core"
	"github.com/ddpm-cluster/ddpm-cluster/coordinator/registry"
	"github.com/ddpm-cluster/ddpm-cluster/storage/checkpoint"
)

var (
	// errStandsStill ends what a machine decides: what the run waits for can't be done here, and
	// another coordinator may lead, of which this one hears nothing.
	errStandsStill = errors.New("the run stands still")
	// errLetGo ends a coordinator whose workers look for another one.
	errLetGo = fmt.Errorf("%w while the leadership in etcd was lost: the workers look for the coordinator that leads", ErrInterrupted)
	// errAlone sends a worker to the coordinator that leads, or later here.
	errAlone = status.Error(codes.Unavailable, "this coordinator has lost the leadership in etcd, and tries to take it up again")
)

// lost is closed when the leadership is lost, and that is news.
func (l *loop) lost() <-chan struct{} {
	if l.regained != nil {
		return nil
	}
	return l.registry.Lost()
}

// regain takes the leadership up again beside the loop. Until then nothing can be
// decided, and members train on.
func (l *loop) regain(ctx context.Context) {
	l.log.Warn("the leadership in etcd is lost: its lease could not be kept; training goes on, and this coordinator takes it up again")
	regained := make(chan error, 1)
	l.regained, l.lostAt = regained, time.Now()
	if l.endRegaining != nil {
		l.endRegaining() // of one that is long over
	}
	ctx, l.endRegaining = context.WithCancel(ctx)
	l.works.Go(func() { regained <- l.registry.Regain(ctx) }) // until settle
}

// hasRegained takes in how regaining went.
func (l *loop) hasRegained(ctx context.Context, err error) error {
	if err != nil { // nobody is dismissed: the workers are another coordinator's now
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		l.usurped = errors.Is(err, registry.ErrDeposed)
		return fmt.Errorf("the leadership in etcd is lost: %w", err)
	}
	l.regained = nil
	l.log.Info("the leadership in etcd is regained", "term", l.registry.Term())
	return nil
}

// standsStill says that etcd has been away for so long that another coordinator leads, if there
// is one that etcd answers, and that the run waits for etcd. While it does not, members train on
// with whom they have.
func (l *loop) standsStill(now time.Time) bool {
	lost := l.regained != nil && len(l.regained) == 0
	return lost && l.limits.alone > 0 && now.Sub(l.lostAt) > l.limits.alone && (l.storing > 0 || l.publisher.busy())
}

// letGo ends the workers' sessions and takes none until the leadership is regained. They train on
// or wait, with their state, and try all their addresses: one that leads takes them in, or this
// one when it leads again. Then it begins as one that was started anew does, with the
// generation that is in etcd: what it was about to decide nobody has heard of.
func (l *loop) letGo(ctx context.Context, events <-chan sessionEvent, interrupts <-chan os.Signal) error {
	const why = "the leadership in etcd is lost, and the run waits for it: the workers are let go, to look for the coordinator that leads"
	l.log.Warn(why, "for", time.Since(l.lostAt).Round(time.Second))
	g, _ := l.machine.Generation()
	l.view.phase(g.Number, "waiting", why)
	for id := range l.sessions {
		l.view.gone(id, why)
		l.drop(id, errAlone)
	}
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	var since time.Time // it leads again
	for {
		select {
		case e := <-events:
			if e.message == nil && e.err == nil {
				e.from.refused = errAlone
				close(e.from.out)
			}
		case o := <-l.publisher.outcomes:
			if err := l.publishedAlone(ctx, o); err != nil {
				return err
			}
		case <-l.lost(): // again, before the generation was read
			l.regain(ctx)
		case err := <-l.regained:
			if err := l.hasRegained(ctx, err); err != nil {
				return err
			}
			since = time.Now()
		case <-ticker.C:
			l.pulse.Beat()
			// What is complete is published first: the machine begins with it.
			settled := !l.publisher.busy() || time.Since(since) > l.limits.settle
			if l.regained == nil && settled && l.beginAgain(ctx) {
				return nil
			}
		case <-interrupts:
			if l.handOver {
				return errHandedOver
			}
			return errLetGo
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// publishedAlone takes in a checkpoint that was on its way when the workers were let go.
func (l *loop) publishedAlone(ctx context.Context, o outcome) error {
	l.publisher.took(ctx, o)
	l.tracePublished(o)
	switch {
	case errors.Is(o.err, checkpoint.ErrConflict):
		l.usurped = true
		return o.err
	case o.err != nil:
		l.log.Warn("a checkpoint could not be published", "step", o.checkpoint.Step, "err", o.err)
	default:
		l.last = o.checkpoint
		l.stored(o)
	}
	return nil
}

// beginAgain makes the machine anew; it says whether etcd has told where it begins.
func (l *loop) beginAgain(ctx context.Context) bool {
	l.works.Wait() // what the machine before was storing must not come after what is read now
	c := l.config
	c.Last = core.Generation{}
	if _, err := l.registry.Generation(ctx, &c.Last); err != nil {
		l.log.Warn("can't read the generation in etcd; trying again", "err", err)
		return false
	}
	if l.newest != nil {
		c.StartStep, c.HasCheckpoint = l.newest.Step, true
	}
	l.machine = core.New(c)
	l.assignments, l.pending, l.examining, l.storing = assignments{}, nil, false, 0
	l.noticed, l.changed = time.Time{}, time.Time{}
	return true
}

// completed gives an end the checkpoint that its machine has not heard of.
func (l *loop) completed(end core.End) core.End {
	if end.OK && end.Digest == "" && l.last.Step == end.Step {
		end.Digest, end.Loss = l.last.Digest, l.last.Loss
	}
	return end
}
