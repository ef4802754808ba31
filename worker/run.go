package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/dataset"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/kernel"
	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
	"github.com/ddpm-cluster/ddpm-cluster/storage"
	"github.com/ddpm-cluster/ddpm-cluster/storage/checkpoint"
)

// run is what a worker needs of the run that it was welcomed to, whatever the
// generation.
type run struct {
	name, id string
	spec     ddpm.Spec
	store    storage.Store
	log      *slog.Logger
	threads  int
	pool     *kernel.Pool // of the training loop alone
	data     dataset.Dataset
	device   ddpm.Device
}

// deviceMaker makes the device that a run computes on.
type deviceMaker func(spec ddpm.Spec, data dataset.Dataset, pool *kernel.Pool) ddpm.Device

func newCPU(spec ddpm.Spec, data dataset.Dataset, pool *kernel.Pool) ddpm.Device {
	device := ddpm.NewCPU(spec, data, pool)
	device.Clock = monotonic()
	return device
}

// storeOpener opens the Store of a run.
type storeOpener func(ctx context.Context, uri, name string, spec ddpm.Spec) (storage.Store, error)

// openRun opens the Store and the dataset of the run, and makes sure that both are
// the run's own. The caller closes the result.
func openRun(ctx context.Context, w *ddpmv1.Welcome, c Config, open storeOpener, device deviceMaker) (*run, error) {
	spec, err := ddpm.DecodeSpec(w.GetSpec())
	if err != nil {
		return nil, fmt.Errorf("the coordinator's %w; use the same version on both sides", err)
	}
	store, err := open(ctx, w.GetStorage(), w.GetRun(), spec)
	if err != nil {
		return nil, err
	}
	data, err := openDataset(ctx, spec, store, c.CacheSize)
	if err != nil {
		return nil, err
	}
	r := &run{
		name: w.GetRun(), id: w.GetRunId(), spec: spec, store: store, log: c.Log, data: data,
		threads: threads(c.Threads, w.GetThreads()),
	}
	r.pool = kernel.NewPool(r.threads)
	r.device = device(spec, data, r.pool)
	return r, nil
}

func (r *run) close() {
	r.pool.Close()
	closeDataset(r.data)
}

// openStore opens the Store that checkpoints go to. It must hold this run's config:
// a folder of the same name on another machine does not.
func openStore(ctx context.Context, uri, name string, spec ddpm.Spec) (storage.Store, error) {
	store, err := storage.Open(ctx, uri)
	if err != nil {
		return nil, err
	}
	text, err := checkpoint.ReadRun(ctx, store, name)
	if errors.Is(err, storage.ErrNotFound) {
		return nil, fmt.Errorf("this machine does not see the run's storage at %s; give the coordinator an s3:// URI or a folder that all machines share", store)
	}
	if err != nil {
		return nil, fmt.Errorf("read the run's config: %w", err)
	}
	kept, err := ddpm.DecodeSpec(text)
	if err != nil {
		return nil, fmt.Errorf("run %s in %s: %w", name, store, err)
	}
	if d := kept.Differences(spec); len(d) > 0 {
		return nil, fmt.Errorf("run %s in %s is another run (%s); give the coordinator an s3:// URI or a folder that all machines share", name, store, strings.Join(d, ", "))
	}
	return store, nil
}
