package worker

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm"
	"github.com/ddpm-cluster/ddpm-cluster/internal/tracing"
	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
	"github.com/ddpm-cluster/ddpm-cluster/storage"
	"github.com/ddpm-cluster/ddpm-cluster/storage/checkpoint"
)

// saver writes this member's share of checkpoints behind the training, one after the
// other. What is under way goes on when the generation that asked for it is over.
type saver struct {
	run  *run
	send func(*ddpmv1.WorkerMessage)
	log  *slog.Logger
	// tracer is nil without a collector.
	tracer *tracing.Tracer

	// settled is closed when the newest checkpoint has read the state, which may
	// change again then; last when its share is stored and told, or given up. nil
	// before the first. Both are the loop's.
	settled, last chan struct{}

	// ctx ends what is under way; open sets it, and cancel.
	ctx    context.Context
	cancel context.CancelFunc
	work   sync.WaitGroup

	mu sync.Mutex
	// fewer is signalled when a copy is let go.
	fewer *sync.Cond
	// held counts the copies, of the checkpoint under way and of those that wait.
	held int
	// spare is a copy that nobody uses, for the next checkpoint's values.
	spare *snapshot
	// told is what became of the newest checkpoints, for a coordinator that has not
	// heard.
	told []*ddpmv1.WorkerMessage
}

func newSaver(r *run, log *slog.Logger, send func(*ddpmv1.WorkerMessage)) *saver {
	s := &saver{run: r, log: log, send: send}
	s.fewer = sync.NewCond(&s.mu)
	return s
}

// storePatience is how long, from a checkpoint's step on, a store that fails is tried
// again for it. Then it is tried once, before the checkpoint is given up. For one that is
// loaded it is how long each of its objects is tried again.
const storePatience = 10 * time.Minute

// maxTold bounds what is told again: what became of the copies that a worker can hold.
const maxTold = 2 * maxCopies

// open lets checkpoints begin, until ctx ends or close is called, which gives up what
// is under way and waits until it has ended.
func (s *saver) open(ctx context.Context) (close func()) {
	s.ctx, s.cancel = context.WithCancel(ctx)
	return func() {
		s.cancel()
		s.work.Wait()
	}
}

// begin starts a checkpoint of the state at a step boundary. The state must not
// change until settle has returned; it may be read. Where the member holds as many
// copies as it may, the checkpoint is given up, so that the Store never holds up
// training; but if the checkpoint is the last before the member idles, it waits.
func (s *saver) begin(g *generation, state *ddpm.State, loss float64, last bool) {
	began := time.Now()
	if !last && s.full(g.size) {
		s.skip(g, state.Step, 1)
		return
	}
	c := s.take(g.size)
	c.generation, c.step, c.loss, c.rank, c.size = g.number, state.Step, loss, g.rank, g.size
	settled, before, done := make(chan struct{}), s.last, make(chan struct{})
	s.settled, s.last = settled, done
	// Step is copied: it is the loop's to read and write.
	frozen := *state
	s.work.Go(func() {
		defer close(done)
		defer s.release(c)
		digest := frozen.Digest()
		c.copy(&frozen)
		close(settled)
		copied := time.Now()
		if before != nil {
			<-before // which ends with ctx
		}
		turn := time.Now()
		err := s.finish(c, digest, began)
		s.traceSaved(c, began, copied, turn, err)
	})
}

// skip gives a checkpoint up because that many members can't hold one more copy.
func (s *saver) skip(g *generation, step uint64, members int) {
	s.log.Warn("a checkpoint is given up: those before it are still being stored", "step", step)
	s.tell(&ddpmv1.WorkerMessage{Body: &ddpmv1.WorkerMessage_PartFailed{PartFailed: &ddpmv1.PartFailed{
		Generation: g.number, Step: step,
		Reason: fmt.Sprintf("checkpoints before it are still being stored by %d of %d workers, which hold no more copies", members, g.size),
	}}})
}

// finish stores a copy and tells the coordinator what became of it, which it returns
// too.
func (s *saver) finish(c *snapshot, digest string, began time.Time) error {
	saved := &ddpmv1.PartSaved{Generation: c.generation, Step: c.step, Digest: digest, Loss: c.loss}
	store := storage.Patient(s.run.store, max(0, storePatience-time.Since(began)), s.log)
	if err := s.save(s.ctx, store, c, saved); err != nil {
		s.log.Warn("a part of a checkpoint could not be stored", "step", c.step, "reason", err.Error())
		s.tell(&ddpmv1.WorkerMessage{Body: &ddpmv1.WorkerMessage_PartFailed{PartFailed: &ddpmv1.PartFailed{Generation: c.generation, Step: c.step, Reason: err.Error()}}})
		return err
	}
	s.log.Info("checkpoint part saved", "step", c.step, "seconds", time.Since(began).Seconds())
	s.tell(&ddpmv1.WorkerMessage{Body: &ddpmv1.WorkerMessage_PartSaved{PartSaved: saved}})
	return nil
}

// tell tells the coordinator what became of a checkpoint, and keeps it.
func (s *saver) tell(m *ddpmv1.WorkerMessage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.told = append(s.told, m)
	s.told = s.told[max(0, len(s.told)-maxTold):]
	s.send(m)
}

// tellAgain tells a coordinator what it may not have heard.
func (s *saver) tellAgain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.told {
		s.send(m)
	}
}

// settle waits until the state may change. The digest and the copy run beside the
// next step's gradients, so there is seldom anything to wait for.
func (s *saver) settle() {
	if s.settled != nil {
		<-s.settled
	}
}

// save stores the member's objects and draws its previews.
func (s *saver) save(ctx context.Context, store storage.Store, c *snapshot, saved *ddpmv1.PartSaved) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		saved.Objects, err = s.upload(ctx, store, c)
		return err
	})
	group.Go(func() (err error) {
		saved.Previews, err = draw(ctx, s.run, c)
		return err
	})
	return group.Wait()
}

// upload stores the member's part, and for rank 0 what makes the checkpoint a
// folder that diffusers opens.
func (s *saver) upload(ctx context.Context, store storage.Store, c *snapshot) ([]*ddpmv1.Object, error) {
	lo, hi := c.part(len(c.ema))
	part := checkpoint.Part{
		Offset: int64(lo), Total: int64(len(c.ema)),
		Weights: c.weights, M: c.m, V: c.v, EMA: c.ema[lo:hi],
	}
	object, err := checkpoint.WritePart(ctx, store, s.run.name, c.step, c.rank, c.size, part)
	if err != nil {
		return nil, err
	}
	objects := []checkpoint.Object{object}
	if c.rank == 0 {
		pipeline, err := writePipeline(ctx, store, s.run, c.step, c.ema)
		if err != nil {
			return nil, err
		}
		objects = append(objects, pipeline...)
	}
	out := make([]*ddpmv1.Object, len(objects))
	for i, o := range objects {
		out[i] = &ddpmv1.Object{Key: o.Key, Size: o.Size, Sha256: o.SHA256}
	}
	return out, nil
}
