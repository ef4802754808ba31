package coordinator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ddpm-cluster/ddpm-cluster/coordinator/core"
	"github.com/ddpm-cluster/ddpm-cluster/coordinator/report"
	"github.com/ddpm-cluster/ddpm-cluster/internal/health"
	"github.com/ddpm-cluster/ddpm-cluster/internal/logging"
	"github.com/ddpm-cluster/ddpm-cluster/internal/tracing"
	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
	"github.com/ddpm-cluster/ddpm-cluster/storage/checkpoint"
)

// records is where the loop keeps membership; package registry's Leader is the
// real one. Each call is bounded in time and fails once another coordinator
// leads.
type records interface {
	Term() uint64
	Lost() <-chan struct{}
	// Regain takes a leadership up again that was lost, unless another has it.
	Regain(ctx context.Context) error
	// Generation reads the newest one that is stored into value, if there is one.
	Generation(ctx context.Context, value any) (bool, error)
	// PutGeneration fails with registry.ErrSuperseded where a newer one is stored.
	PutGeneration(ctx context.Context, number uint64, value any) error
	PutWorker(ctx context.Context, id string, value any, ttl time.Duration) error
	KeepWorker(ctx context.Context, id string) error
	DropWorker(ctx context.Context, id string) error
}

// loop is the one goroutine that feeds the machine and does its effects.
type loop struct {
	// config is what each machine of the run is made of, but for where it begins.
	config   core.Config
	machine  *core.Machine
	registry records
	plan     welcome
	limits   limits
	// handOver ends the coordinator at the first interrupt, and not the run.
	handOver bool
	keeper   *keeper
	progress *progress
	log      *slog.Logger
	// where is what each line of the log says of the run.
	where *logging.Where
	// tracer is nil without a collector; changed is when the members last left their
	// ring, zero while they train.
	tracer  *tracing.Tracer
	changed time.Time

	sessions map[string]*session
	// named is the number of the last name that was given.
	named  int
	leases *leases
	// persisted hears of generations that are in etcd, regained of a leadership
	// that was lost, nil while there is nothing to hear.
	persisted chan stored
	regained  chan error
	// lostAt is when the leadership was lost last, storing the number of the generation that
	// waits for etcd, 0 where none does.
	lostAt  time.Time
	storing uint64
	// interrupted says that the user has asked for the end once.
	interrupted bool
	// stopped is closed when the machine of now is fed no more.
	stopped chan struct{}
	// endRegaining ends the attempt under way, which may outlast the loop: what is published at
	// the end waits for it.
	endRegaining context.CancelFunc
	// examined hears of checkpoints that were examined, while examining; unreadable says that
	// the newest one is not whole.
	examined              chan examination
	examining, unreadable bool
	// usurped says that somebody else leads the run, or writes it: what the next start finds is
	// the other's.
	usurped bool
	// works are what goes on beside the loop until it is over.
	works sync.WaitGroup
	over  chan struct{}
	// pending are events that wait for the effects of the first of them.
	pending   []core.Event
	publisher *publisher
	// assignments are of the generation that was assigned last.
	assignments assignments
	// noticed is when the change of generation under way began; zero: none is.
	noticed time.Time
	// newest is the newest checkpoint, nil before the first.
	newest *report.Checkpoint
	// last is the checkpoint that was published while there was no machine to hear of it.
	last core.Publish
	// local hears of child processes that ended; children are those that have not.
	local    <-chan childEnd
	children int
	view     *view
	// pulse beats as the loop turns, whatever the run does.
	pulse *health.Pulse
	end   *core.End
}

// welcome is what every worker is told when it joins.
type welcome struct {
	run, runID, storage string
	spec                []byte
	compareEvery        uint64
	threads             int
}

// run feeds the machine until the run ends, and another one each time the workers had to be
// let go.
func (l *loop) run(ctx context.Context, events <-chan sessionEvent, interrupts <-chan os.Signal) (core.End, error) {
	defer l.pulse.Rest()
	for {
		l.stopped = make(chan struct{})
		end, err := l.lead(ctx, events, interrupts)
		if !errors.Is(err, errStandsStill) {
			return l.completed(end), err
		}
		close(l.stopped)
		if err := l.letGo(ctx, events, interrupts); err != nil {
			return core.End{}, err
		}
	}
}

// lead feeds one machine until the run ends, or stands still.
func (l *loop) lead(ctx context.Context, events <-chan sessionEvent, interrupts <-chan os.Signal) (core.End, error) {
	pace := newPace()
	defer pace.stop()
	asked := false // this machine, for the end
	for l.end == nil {
		select {
		case e := <-events:
			l.hear(ctx, e)
		case o := <-l.publisher.outcomes:
			l.published(ctx, o)
		case e := <-l.local:
			l.childEnded(ctx, e)
		case e := <-l.examined:
			l.found(ctx, e)
		case s := <-l.persisted:
			l.wasStored(ctx, s)
		case <-l.lost():
			l.regain(ctx)
		case err := <-l.regained:
			if err := l.hasRegained(ctx, err); err != nil {
				return core.End{}, err
			}
		case <-pace.ticks():
			l.pulse.Beat()
			if l.standsStill(time.Now()) {
				return core.End{}, errStandsStill
			}
			l.hearSigns(ctx)
			l.step(ctx, core.Tick{})
			if l.interrupted && !asked && l.machine.Phase() != "adopting" { // the one before was
				asked = true
				l.step(ctx, core.StopRequested{Reason: "interrupted"})
			}
			pace.set(l.machine.AtRest())
			l.progress.tick(time.Now())
		case <-interrupts:
			if l.handOver {
				return core.End{}, errHandedOver
			}
			if l.interrupted {
				return core.End{}, errInterrupted
			}
			l.interrupted, asked = true, true
			l.log.Warn("interrupted: making a checkpoint, then stopping; interrupt again to end at once")
			l.step(ctx, core.StopRequested{Reason: "interrupted"})
		case <-ctx.Done():
			return core.End{}, context.Cause(ctx)
		}
	}
	return *l.end, nil
}

// beside does work for the machine until it is done, ctx ends or the machine hears no more.
func (l *loop) beside(ctx context.Context, work func(context.Context)) {
	ctx, cancel := context.WithCancel(ctx)
	done, stopped := make(chan struct{}), l.stopped
	l.works.Go(func() {
		defer close(done)
		work(ctx)
	})
	l.works.Go(func() {
		defer cancel()
		select {
		case <-l.over:
		case <-stopped:
		case <-done:
		}
	})
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
	if l.end == nil {
		g, _ := l.machine.Generation()
		l.traceChange(g, l.machine.Phase())
		l.view.phase(g.Number, l.machine.Phase(), l.machine.Reason())
		l.progress.at(l.machine.Phase(), l.machine.Reason())
	}
}

// published tells the machine first, and people after it.
func (l *loop) published(ctx context.Context, o outcome) {
	l.publisher.took(ctx, o)
	l.tracePublished(o)
	e := o.checkpoint
	if o.err != nil {
		l.log.Warn("a checkpoint could not be published", "step", e.Step, "err", o.err)
		if errors.Is(o.err, checkpoint.ErrConflict) {
			l.usurped = true
			l.step(ctx, core.Broken{Reason: o.err.Error()})
			return
		}
		l.view.gaveUp(fmt.Sprintf("step %d: %s", e.Step, o.err))
		l.step(ctx, core.PublishFailed{Generation: e.Generation, Step: e.Step, Reason: o.err.Error()})
		return
	}
	l.step(ctx, core.Published{Generation: e.Generation, Step: e.Step})
	l.stored(o)
	l.log.Info("checkpoint", "step", e.Step, "loss", fmt.Sprintf("%.4f", e.Loss), "digest", e.Digest[:min(len(e.Digest), 19)], "at", l.keeper.place(e.Step))
}

// stored notes a checkpoint as the newest one, which a late one may not be.
func (l *loop) stored(o outcome) {
	if l.newest == nil || l.newest.Step < o.checkpoint.Step {
		l.newest = complete(o)
		l.view.checkpoint(*l.newest)
	}
}

// complete is a checkpoint that was published just now.
func complete(o outcome) *report.Checkpoint {
	now := time.Now().UTC()
	c := &report.Checkpoint{Step: o.checkpoint.Step, Digest: o.checkpoint.Digest, At: &now, PublishSeconds: o.took.Seconds()}
	for _, p := range o.checkpoint.Parts {
		part := p.(*ddpmv1.PartSaved)
		c.Picture = c.Picture || len(part.GetPreviews()) > 0
		for _, object := range part.GetObjects() {
			c.Bytes += object.GetSize()
		}
	}
	return c
}

// childEnded finds the session behind a local worker's process, if it had one.
func (l *loop) childEnded(ctx context.Context, e childEnd) {
	l.children--
	for id, s := range l.sessions {
		if e.is(s.hello) {
			l.drop(id, nil)
			l.step(ctx, core.Left{Worker: id, Reason: e.how})
		}
	}
	if l.children == 0 && l.end == nil {
		l.step(ctx, core.Broken{Reason: "all local workers have ended, the last one so: " + e.how})
	} else if l.end == nil {
		l.log.Warn("a local worker is gone; the run goes on without it", "reason", e.how)
	}
}

// settle ends what the run has under way beside the loop: checkpoints whose parts
// are all there are published, leases are let go. Both take a bounded time, and
// none if ctx ends.
func (l *loop) settle(ctx context.Context) {
	close(l.over)
	for id := range l.sessions {
		l.drop(id, status.Error(codes.Unavailable, "the coordinator ends"))
	}
	for l.publisher.busy() {
		l.published(ctx, <-l.publisher.outcomes)
	}
	if l.endRegaining != nil {
		l.endRegaining()
	}
	l.leases.wait()
	l.works.Wait() // a generation that is stored late must not take the last word
	l.forget(ctx)
}

// resume says what the next start does, as what follows a sentence; nothing where that is
// not known.
func (l *loop) resume() string {
	switch {
	case l.usurped:
		return ""
	case l.unreadable:
		return "; the next start resumes from the newest checkpoint that is whole"
	case l.newest == nil:
		return "; the next start begins again from step 0"
	}
	return fmt.Sprintf("; the next start resumes from the checkpoint of step %d", l.newest.Step)
}

// forget keeps the next coordinator from waiting for members that are gone. Where
// this one ends at once they are not: they train on, and look for the next one.
func (l *loop) forget(ctx context.Context) {
	if ctx.Err() != nil {
		return
	}
	g, _ := l.machine.Generation()
	g.Members = nil
	if err := l.registry.PutGeneration(ctx, g.Number, g); err != nil && ctx.Err() == nil {
		l.log.Warn("can't tell etcd that the run has ended here", "err", err)
	}
}
