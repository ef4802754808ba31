package coordinator

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"testing"

	"github.com/ddpm-cluster/ddpm-cluster/coordinator/core"
	"github.com/ddpm-cluster/ddpm-cluster/coordinator/registry"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm"
	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
	"github.com/ddpm-cluster/ddpm-cluster/storage"
	"github.com/ddpm-cluster/ddpm-cluster/storage/checkpoint"
)

// slowStore stores what is create-only, which manifests are, when it is let.
type slowStore struct {
	storage.Store
	at  chan string
	let chan struct{}
}

func (s *slowStore) PutIfAbsent(ctx context.Context, key string, r io.Reader, size int64, kind string) (storage.Info, error) {
	s.at <- key
	select {
	case <-s.let:
		return s.Store.PutIfAbsent(ctx, key, r, size, kind)
	case <-ctx.Done():
		return storage.Info{}, ctx.Err()
	}
}

// publishing is a loop that has ended while two checkpoints were under way.
func publishing(t *testing.T) (*loop, *slowStore) {
	t.Helper()
	local, err := storage.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	preset, err := ddpm.FindPreset("tiny")
	if err != nil {
		t.Fatal(err)
	}
	store := &slowStore{Store: local, at: make(chan string, 9), let: make(chan struct{})}
	metrics, err := checkpoint.OpenMetrics(t.Context(), store, "r", 1)
	if err != nil {
		t.Fatal(err)
	}
	etcd := newFakeEtcd()
	k := &keeper{store: storage.Fenced(store, etcd.Check), run: "r", spec: preset.Spec, metrics: metrics}
	log := slog.New(slog.DiscardHandler)
	l := &loop{
		limits:  defaultLimits(),
		over:    make(chan struct{}),
		machine: core.New(core.Config{Workers: 1, MinWorkers: 1}), keeper: k, publisher: newPublisher(k), log: log,
		registry: etcd, leases: newLeases(etcd, log), view: newView("r", 0, 9, nil, 1, (*security)(nil).counts), sessions: map[string]*session{}, end: &core.End{Reason: "a worker was lost"},
	}
	return l, store
}

func (l *loop) addCheckpoint(ctx context.Context, t *testing.T, store storage.Store, step uint64) {
	t.Helper()
	n := l.keeper.spec.Model.ParamCount()
	values := make([]float32, n)
	o, err := checkpoint.WritePart(ctx, store, "r", step, 0, 1, checkpoint.Part{Total: int64(n), Weights: values, M: values, V: values, EMA: values})
	if err != nil {
		t.Fatal(err)
	}
	l.publisher.add(ctx, core.Publish{Step: step, Digest: digest("a"), Members: []string{"w1"}}, []*ddpmv1.PartSaved{
		{Objects: []*ddpmv1.Object{{Key: o.Key, Size: o.Size, Sha256: o.SHA256}}},
	})
}

// A run that ends, for whatever reason, ends the checkpoints that are complete.
func TestSettlePublishesWhatIsComplete(t *testing.T) {
	t.Parallel()
	l, store := publishing(t)
	if got := l.resume(); got != "; the next start begins again from step 0" {
		t.Error(got)
	}
	l.addCheckpoint(t.Context(), t, store, 3)
	l.addCheckpoint(t.Context(), t, store, 6)
	first := <-store.at
	select {
	case second := <-store.at:
		t.Errorf("%s and %s are published at once", first, second)
	default:
	}
	close(store.let)
	within(t, func() { l.settle(t.Context()) })
	for _, step := range []uint64{3, 6} {
		if _, err := checkpoint.At(t.Context(), l.keeper.store, "r", step); err != nil {
			t.Error(err)
		}
	}
	if got := l.resume(); got != "; the next start resumes from the checkpoint of step 6" {
		t.Error(got)
	}
}

// A checkpoint that is published after a newer one is not the newest.
func TestALateCheckpointIsNotTheNewest(t *testing.T) {
	t.Parallel()
	l, store := publishing(t)
	close(store.let)
	for _, step := range []uint64{6, 3} {
		l.addCheckpoint(t.Context(), t, store, step)
	}
	within(t, func() { l.settle(t.Context()) })
	if got := l.resume(); got != "; the next start resumes from the checkpoint of step 6" {
		t.Error(got)
	}
}

// A checkpoint that is under way at the end waits for a leadership that is being regained.
func TestSettleWaitsForTheLeadership(t *testing.T) {
	t.Parallel()
	l, store := publishing(t)
	close(store.let)
	etcd := l.registry.(*fakeEtcd)
	etcd.deposed.Store(true)
	l.keeper.store = storage.Patient(l.keeper.store, wait, l.log)
	l.regain(t.Context())
	l.addCheckpoint(t.Context(), t, store, 3)
	go func() {
		etcd.regain <- nil
		etcd.deposed.Store(false)
	}()
	within(t, func() { l.settle(t.Context()) })
	if l.newest == nil || l.newest.Step != 3 {
		t.Errorf("published at the end: %+v", l.newest)
	}
}

// A Store that hangs holds the end up no longer than its context.
func TestSettleGivesUp(t *testing.T) {
	t.Parallel()
	l, store := publishing(t)
	ctx, cancel := context.WithCancel(t.Context())
	l.addCheckpoint(ctx, t, store, 3)
	l.addCheckpoint(ctx, t, store, 6)
	<-store.at
	cancel()
	within(t, func() { l.settle(ctx) })
	if l.newest != nil {
		t.Errorf("step %d counts as published", l.newest.Step)
	}
}

// A coordinator that does not lead any more publishes nothing.
func TestDeposedPublishesNothing(t *testing.T) {
	t.Parallel()
	l, store := publishing(t)
	close(store.let)
	l.registry.(*fakeEtcd).deposed.Store(true)
	l.addCheckpoint(t.Context(), t, store, 3)
	var o outcome
	within(t, func() { o = <-l.publisher.outcomes })
	if !errors.Is(o.err, registry.ErrDeposed) {
		t.Errorf("it ends with %v", o.err)
	}
	l.publisher.outcomes <- o
	within(t, func() { l.settle(t.Context()) })
	if _, err := checkpoint.At(t.Context(), l.keeper.store, "r", 3); err == nil {
		t.Error("it is published")
	}
}

// reading is a Store that lists a run's checkpoints, as retention does, when it is let.
type reading struct {
	storage.Store
	at  chan struct{}
	let chan struct{}
}

func (r *reading) List(ctx context.Context, prefix string) ([]storage.Info, error) {
	if prefix == checkpoint.CheckpointsPrefix("r") {
		r.at <- struct{}{}
		<-r.let
	}
	return r.Store.List(ctx, prefix)
}

// Old checkpoints are looked at when no checkpoint waits, once for all that were published,
// and not beside a publication.
func TestRetentionHoldsNoOutcome(t *testing.T) {
	t.Parallel()
	l, slow := publishing(t)
	close(slow.let)
	r := &reading{l.keeper.store, make(chan struct{}), make(chan struct{})}
	l.keeper.store, l.keeper.retention, l.keeper.log = r, checkpoint.Retention{Last: 1}, l.log
	take := func() {
		within(t, func() { l.published(t.Context(), <-l.publisher.outcomes) })
	}
	for _, step := range []uint64{3, 6} {
		l.addCheckpoint(t.Context(), t, slow, step)
	}
	take()
	take() // both, before anything is deleted
	within(t, func() { <-r.at })
	l.addCheckpoint(t.Context(), t, slow, 9)
	select {
	case <-l.publisher.outcomes:
		t.Error("one is published beside the retention")
	default:
	}
	r.let <- struct{}{}
	take()
	within(t, func() {
		<-r.at
		r.let <- struct{}{}
		l.publisher.wait()
	})
	all, _, err := checkpoint.List(t.Context(), slow.Store, "r")
	if err != nil || len(all) != 1 || all[0].Step != 9 {
		t.Errorf("%d checkpoints are left: %v", len(all), err)
	}
}

// Where another writer has the run's name, what the next start finds is not this one's to say.
func TestAnotherWriter(t *testing.T) {
	t.Parallel()
	l, store := publishing(t)
	close(store.let)
	l.addCheckpoint(t.Context(), t, store, 3)
	l.published(t.Context(), outcome{checkpoint: core.Publish{Step: 6}, err: checkpoint.ErrConflict})
	within(t, func() { l.settle(t.Context()) })
	if got := l.resume(); got != "" {
		t.Error(got)
	}
}
