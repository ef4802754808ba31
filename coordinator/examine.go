package coordinator

import (
	"context"
	"errors"
	"fmt"

	"github.com/ddpm-cluster/ddpm-cluster/coordinator/core"
	"github.com/ddpm-cluster/ddpm-cluster/storage"
	"github.com/ddpm-cluster/ddpm-cluster/storage/checkpoint"
)

// examination is what was found of a checkpoint that a worker could not read.
type examination struct {
	step uint64
	err  error
}

// examine reads a checkpoint beside the loop, once at a time: it may be the worker, its
// memory or its way to the Store, that is to blame.
func (l *loop) examine(ctx context.Context, step uint64) {
	if l.examining {
		return
	}
	l.examining = true
	l.beside(ctx, func(ctx context.Context) {
		m, err := checkpoint.At(ctx, l.keeper.store, l.keeper.run, step)
		if err == nil {
			err = checkpoint.Verify(ctx, l.keeper.store, m)
		}
		select {
		case l.examined <- examination{step, err}:
		case <-ctx.Done():
		}
	})
}

// found ends the run where a checkpoint is damaged or gone that it has to begin from: the
// next start finds the one before.
func (l *loop) found(ctx context.Context, e examination) {
	l.examining = false
	switch {
	case errors.Is(e.err, checkpoint.ErrCorrupt), errors.Is(e.err, storage.ErrNotFound):
		l.unreadable = true
		l.step(ctx, core.Unreadable{Step: e.step, Reason: e.err.Error()})
	case e.err != nil:
		l.log.Warn("a checkpoint that a worker could not read was not read here either", "step", e.step, "err", e.err)
	default:
		l.log.Warn(fmt.Sprintf("a worker could not read the checkpoint of step %d, which is whole: look at that machine", e.step))
	}
}
