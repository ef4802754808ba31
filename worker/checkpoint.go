package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm"
	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
	"github.com/ddpm-cluster/ddpm-cluster/storage"
	"github.com/ddpm-cluster/ddpm-cluster/storage/checkpoint"
)

// saver writes this member's share of checkpoints behind the training: at most one
// checkpoint is under way.
type saver struct {
	run        *run
	generation uint64
	rank, size int
	send       func(*ddpmv1.WorkerMessage) error
	log        *slog.Logger

	// weights, m and v are copies of the member's part of the state, ema of the
	// whole moving average. They serve every checkpoint in turn.
	weights, m, v, ema []float32

	// settled is closed when the state has been read and may change again, done
	// when the checkpoint's share is stored and told, or given up. nil before the
	// first.
	settled, done chan struct{}
	step          uint64 // of the checkpoint that is under way
	// err is why the checkpoint could not be told, or why the last one could not be
	// stored. Invariant: written before done is closed, read after.
	err error
}

// storePatience is how long a store that fails is tried again for an object of a
// checkpoint, before the checkpoint is given up.
const storePatience = 10 * time.Minute

// boundaryPatience is how long training waits for the checkpoint before to be stored
// when another one is due. That is for runs whose checkpoints are moments apart;
// where the Store can't keep up, training does not wait for it.
const boundaryPatience = 5 * time.Second

// begin starts a checkpoint of the state at a step boundary. Where the checkpoint
// before is still being stored, this one is given up, unless it is the last. The
// state must not change until settle has returned; it may be read. The end of ctx
// gives the checkpoint up.
func (s *saver) begin(ctx context.Context, state *ddpm.State, loss float64, last bool) error {
	if !last && !s.idleWithin(boundaryPatience) {
		s.giveUp(state.Step, fmt.Sprintf("the one of step %d is still being stored; store faster, or make checkpoints less often", s.step))
		return nil
	}
	if err := s.wait(); err != nil {
		return err
	}
	start := time.Now()
	s.settled, s.done = make(chan struct{}), make(chan struct{})
	s.step = state.Step
	// Step is copied: it is the loop's to read and write.
	frozen := *state
	go func() {
		defer close(s.done)
		digest := frozen.Digest()
		s.copy(&frozen)
		close(s.settled)
		saved := &ddpmv1.PartSaved{Generation: s.generation, Step: frozen.Step, Digest: digest, Last: last, Loss: loss}
		err := s.save(ctx, saved)
		switch {
		case err == nil:
			s.log.Info("checkpoint part saved", "step", saved.GetStep(), "seconds", time.Since(start).Seconds())
		case errors.Is(err, storage.ErrGaveUp) && !last:
			s.giveUp(saved.GetStep(), err.Error())
		default:
			s.err = fmt.Errorf("checkpoint of step %d: %w", saved.GetStep(), err)
		}
	}()
	return nil
}

// giveUp says why there is no checkpoint of a step; training goes on.
func (s *saver) giveUp(step uint64, reason string) {
	s.log.Warn("gave up a checkpoint", "step", step, "reason", reason)
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

// failed returns the error of a checkpoint that failed, without waiting.
func (s *saver) failed() error {
	select {
	case <-s.done: // never, when there was none
		return s.err
	default:
		return nil
	}
}

// wait waits until no checkpoint is under way and returns the last one's error.
func (s *saver) wait() error {
	if s.done == nil {
		return nil
	}
	<-s.done
	return s.err
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

// save stores the member's objects, draws its previews, and tells the coordinator.
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
	if err := group.Wait(); err != nil {
		return err
	}
	return s.send(&ddpmv1.WorkerMessage{Body: &ddpmv1.WorkerMessage_PartSaved{PartSaved: saved}})
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
