package worker

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm"
	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
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
	// when the checkpoint's share is stored and told. nil before the first.
	settled, done chan struct{}
	// err is what became of it. Invariant: written before done is closed, read
	// after.
	err error
}

// begin starts a checkpoint of the state at a step boundary, after waiting for the
// one before. The state must not change until settle has returned; it may be read.
// The end of ctx gives the checkpoint up.
func (s *saver) begin(ctx context.Context, state *ddpm.State, loss float64, last bool) error {
	if err := s.wait(); err != nil {
		return err
	}
	start := time.Now()
	s.settled, s.done = make(chan struct{}), make(chan struct{})
	// Step is copied: it is the loop's to read and write.
	frozen := *state
	go func() {
		defer close(s.done)
		digest := frozen.Digest()
		s.copy(&frozen)
		close(s.settled)
		saved := &ddpmv1.PartSaved{Generation: s.generation, Step: frozen.Step, Digest: digest, Last: last, Loss: loss}
		if err := s.save(ctx, saved); err != nil {
			s.err = fmt.Errorf("checkpoint of step %d: %w", saved.GetStep(), err)
			return
		}
		s.log.Info("checkpoint part saved", "step", saved.GetStep(), "seconds", time.Since(start).Seconds())
	}()
	return nil
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
	object, err := checkpoint.WritePart(ctx, s.run.store, s.run.name, step, s.rank, s.size, part)
	if err != nil {
		return nil, err
	}
	objects := []checkpoint.Object{object}
	if s.rank == 0 {
		pipeline, err := writePipeline(ctx, s.run, step, s.ema)
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
