package worker

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm"
	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
	"github.com/ddpm-cluster/ddpm-cluster/storage"
	"github.com/ddpm-cluster/ddpm-cluster/storage/checkpoint"
)

// saver writes this member's share of checkpoints behind the training: at most one
// checkpoint is under way. It goes on when the generation that asked for it is over.
type saver struct {
	run  *run
	send func(*ddpmv1.WorkerMessage)
	log  *slog.Logger

	// rank and size are the member's in the checkpoint under way.
	rank, size int
	// weights, m and v are copies of the member's part of the state, ema of the
	// whole moving average. They serve every checkpoint in turn.
	weights, m, v, ema []float32

	// settled is closed when the state has been read and may change again, done
	// when the checkpoint's share is stored and told, or given up. nil before the
	// first.
	settled, done chan struct{}
	cancel        context.CancelFunc

	mu sync.Mutex
	// told is what became of the newest checkpoints, for a coordinator that has not
	// heard.
	told []*ddpmv1.WorkerMessage
}

// boundaryPatience is how long training waits for the checkpoint before to be stored
// when another one is due. That is for runs whose checkpoints are moments apart.
const boundaryPatience = 5 * time.Second

// storePatience is how long a store that fails is tried again for an object of a
// checkpoint, before the checkpoint is given up.
const storePatience = 10 * time.Minute

// maxTold bounds what is told again.
const maxTold = 4

// begin starts a checkpoint of the state at a step boundary. The state must not
// change until settle has returned; it may be read. While the checkpoint before is
// under way there is no other: patient waits for its end, otherwise this one is
// given up, so that a slow Store does not hold up training.
//
// It is given up when ctx ends.
func (s *saver) begin(ctx context.Context, g *generation, state *ddpm.State, loss float64, patient bool) {
	step := state.Step
	if patient && s.done != nil {
		<-s.done // which ends with ctx
	}
	if !s.idleWithin(boundaryPatience) {
		s.tell(&ddpmv1.WorkerMessage{Body: &ddpmv1.WorkerMessage_PartFailed{PartFailed: &ddpmv1.PartFailed{
			Generation: g.number, Step: step, Reason: "the checkpoint before is still being stored",
		}}})
		return
	}
	start := time.Now()
	s.rank, s.size = g.rank, g.size
	s.settled, s.done = make(chan struct{}), make(chan struct{})
	ctx, cancel := context.WithCancel(ctx)
	s.cancel = cancel
	// Step is copied: it is the loop's to read and write.
	frozen := *state
	go func() {
		defer close(s.done)
		defer cancel()
		digest := frozen.Digest()
		s.copy(&frozen)
		close(s.settled)
		saved := &ddpmv1.PartSaved{Generation: g.number, Step: step, Digest: digest, Loss: loss}
		err := s.save(ctx, saved)
		if err != nil {
			s.log.Warn("a part of a checkpoint could not be stored", "step", step, "reason", err.Error())
			s.tell(&ddpmv1.WorkerMessage{Body: &ddpmv1.WorkerMessage_PartFailed{PartFailed: &ddpmv1.PartFailed{Generation: g.number, Step: step, Reason: err.Error()}}})
			return
		}
		s.log.Info("checkpoint part saved", "step", step, "seconds", time.Since(start).Seconds())
		s.tell(&ddpmv1.WorkerMessage{Body: &ddpmv1.WorkerMessage_PartSaved{PartSaved: saved}})
	}()
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

// idleWithin waits a bounded time until no checkpoint is under way.
func (s *saver) idleWithin(d time.Duration) bool {
	if s.done == nil {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-s.done:
		return true
	case <-timer.C:
		return false
	}
}

// settle waits until the state may change. The digest and the copy run beside the
// next step's gradients, so there is seldom anything to wait for.
func (s *saver) settle() {
	if s.settled != nil {
		<-s.settled
	}
}

// wait gives up what is under way and waits until it has ended.
func (s *saver) wait() {
	if s.done != nil {
		s.cancel()
		<-s.done
	}
}

// part returns the range of parameters that the member writes.
func (s *saver) part(params int) (lo, hi int) {
	return s.rank * params / s.size, (s.rank + 1) * params / s.size
}

// copy keeps what the checkpoint takes of the state.
func (s *saver) copy(state *ddpm.State) {
	lo, hi := s.part(len(state.Weights))
	s.weights = append(s.weights[:0], state.Weights[lo:hi]...)
	s.m = append(s.m[:0], state.M[lo:hi]...)
	s.v = append(s.v[:0], state.V[lo:hi]...)
	s.ema = append(s.ema[:0], state.EMA...)
}

// save stores the member's objects and draws its previews.
func (s *saver) save(ctx context.Context, saved *ddpmv1.PartSaved) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		saved.Objects, err = s.upload(ctx, saved.GetStep())
		return err
	})
	group.Go(func() (err error) {
		saved.Previews, err = s.draw(ctx)
		return err
	})
	return group.Wait()
}

// upload stores the member's part, and for rank 0 what makes the checkpoint a
// folder that diffusers opens.
func (s *saver) upload(ctx context.Context, step uint64) ([]*ddpmv1.Object, error) {
	lo, hi := s.part(len(s.ema))
	part := checkpoint.Part{
		Offset: int64(lo), Total: int64(len(s.ema)),
		Weights: s.weights, M: s.m, V: s.v, EMA: s.ema[lo:hi],
	}
	store := storage.Patient(s.run.store, storePatience, s.log)
	object, err := checkpoint.WritePart(ctx, store, s.run.name, step, s.rank, s.size, part)
	if err != nil {
		return nil, err
	}
	objects := []checkpoint.Object{object}
	if s.rank == 0 {
		pipeline, err := writePipeline(ctx, store, s.run, step, s.ema)
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
