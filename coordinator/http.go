package coordinator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/ddpm-cluster/ddpm-cluster/coordinator/report"
	"github.com/ddpm-cluster/ddpm-cluster/coordinator/web"
	"github.com/ddpm-cluster/ddpm-cluster/storage"
	"github.com/ddpm-cluster/ddpm-cluster/storage/checkpoint"
)

// looks is what people see of a run, by HTTP or as administrators by gRPC.
type looks struct {
	view  *view
	store storage.Store // nil: there are no checkpoints to list
	run   string
	data  *showing
}

// Status implements web.Source.
func (w looks) Status() report.Status { return w.view.snapshot() }

// Curve implements web.Source.
func (w looks) Curve(from uint64, points int) *report.Curve {
	return w.view.curve(from, points)
}

// Checkpoints implements web.Source: those with a manifest, by the Store's list of
// objects alone, which is one request however many there are.
func (w looks) Checkpoints(ctx context.Context) ([]report.Checkpoint, error) {
	if w.store == nil {
		return nil, nil
	}
	prefix := checkpoint.CheckpointsPrefix(w.run)
	objects, err := w.store.List(ctx, prefix)
	if err != nil {
		return nil, err
	}
	var all []report.Checkpoint
	var c report.Checkpoint
	for _, o := range objects { // sorted, so that a folder's objects are together
		folder, key, _ := strings.Cut(strings.TrimPrefix(o.Key, prefix), "/")
		var step uint64
		if _, err := fmt.Sscanf(folder, "step-%d", &step); err != nil || !strings.HasPrefix(o.Key, checkpoint.StepPrefix(w.run, step)) {
			continue // not ours
		}
		if step != c.Step {
			all, c = appendComplete(all, c), report.Checkpoint{Step: step}
		}
		c.Bytes += o.Size
		switch key {
		case checkpoint.SamplesKey:
			c.Picture = true
		case checkpoint.ManifestKey:
			at := o.ModTime.UTC()
			c.At = &at
		}
	}
	all = appendComplete(all, c)
	slices.SortFunc(all, func(a, b report.Checkpoint) int { return int(a.Step) - int(b.Step) })
	return all, nil
}

// appendComplete appends a checkpoint that has its manifest.
func appendComplete(all []report.Checkpoint, c report.Checkpoint) []report.Checkpoint {
	if c.At == nil {
		return all
	}
	return append(all, c)
}

// Picture implements web.Source.
func (w looks) Picture(ctx context.Context, step uint64) ([]byte, error) {
	if w.store == nil {
		return nil, web.ErrNone
	}
	m, err := checkpoint.At(ctx, w.store, w.run, step)
	if errors.Is(err, storage.ErrNotFound) || errors.Is(err, checkpoint.ErrNone) || errors.Is(err, checkpoint.ErrCorrupt) {
		return nil, fmt.Errorf("%w: %w", web.ErrNone, err)
	}
	if err != nil {
		return nil, err
	}
	if _, ok := m.Object(checkpoint.SamplesKey); !ok {
		return nil, web.ErrNone
	}
	return checkpoint.ReadObject(ctx, w.store, m, checkpoint.SamplesKey)
}

// Examples implements web.Source.
func (w looks) Examples(ctx context.Context, step uint64, n int) (*report.StepExamples, error) {
	if w.data == nil {
		return nil, web.ErrNone
	}
	return w.data.examples(ctx, step, n)
}

// recall shows the steps of earlier coordinators too, as soon as they are read. That
// they can't be read is no reason not to train.
func (s *start) recall(ctx context.Context, v *view) (wait func()) {
	if s.newest.Step == 0 { // as with --init too: there were none
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	var reading sync.WaitGroup
	reading.Go(func() {
		body, _, err := s.store.Get(ctx, checkpoint.MetricsKey(s.plan.Run))
		if err == nil {
			err = errors.Join(report.ReadLines(body, s.newest.Step, func(l report.Line) bool {
				v.before(l)
				return ctx.Err() == nil
			}), body.Close())
		}
		if err != nil && ctx.Err() == nil {
			s.log.Warn("the curves begin at this start: the metrics so far can't be read", "err", err)
		}
	})
	return func() {
		cancel()
		reading.Wait()
	}
}
