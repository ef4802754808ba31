package coordinator

import (
	"context"
	"io"
	"runtime"
	"sync"

	"github.com/ddpm-cluster/ddpm-cluster/coordinator/report"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/dataset"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/dataset/packed"
	"github.com/ddpm-cluster/ddpm-cluster/storage"
)

// showing is the run's dataset for those who look at it. It is opened when somebody
// does: the coordinator itself has no use for it.
type showing struct {
	run  string
	spec ddpm.Spec
	open func(ctx context.Context) (dataset.Dataset, error)

	mu   sync.Mutex // one at a time: to look is a convenience
	data dataset.Dataset
}

// examples shows what a step trains on.
func (s *showing) examples(ctx context.Context, step uint64, n int) (*report.StepExamples, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err // it has waited too long
	}
	if s.data == nil {
		data, err := s.open(ctx)
		if err != nil {
			return nil, err
		}
		s.data = data
	}
	return report.Examples(s.run, s.spec, s.data, step, n)
}

func (s *showing) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c, ok := s.data.(io.Closer); ok {
		_ = c.Close() // it was only read
	}
	s.data = nil
}

// showing makes the one of the run.
func (s *start) showing() *showing {
	return &showing{run: s.plan.Run, spec: s.plan.Spec, open: func(ctx context.Context) (dataset.Dataset, error) {
		return s.dataset(context.WithoutCancel(ctx), s.plan.Spec.Dataset) // it outlives who asks first
	}}
}

// dataset opens a dataset as the run's model takes it.
func (s *start) dataset(ctx context.Context, uri string) (dataset.Dataset, error) {
	places := dataset.Places{
		Stores: func(ctx context.Context, uri string) (packed.Store, error) { return storage.OpenBlobs(ctx, uri) },
		Run:    storage.AsBlobs(s.store),
		Import: &dataset.Importing{Threads: runtime.GOMAXPROCS(0), Log: s.log},
	}
	return places.Open(ctx, uri, ddpm.Want(s.plan.Spec.Model))
}
