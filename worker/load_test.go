package worker

import (
	"context"
	"io"
	"log/slog"
	"syscall"
	"testing"
	"testing/iotest"
	"testing/synctest"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm"
	"github.com/ddpm-cluster/ddpm-cluster/storage"
	"github.com/ddpm-cluster/ddpm-cluster/storage/checkpoint"
)

// crowded is a Store that resets each connection once: what lists, what gets, and what
// gets after that, midway. After those it can be read.
type crowded struct {
	storage.Store
	lists, gets int
}

func (c *crowded) List(ctx context.Context, prefix string) ([]storage.Info, error) {
	if c.lists++; c.lists == 1 {
		return nil, syscall.ECONNRESET
	}
	return c.Store.List(ctx, prefix)
}

func (c *crowded) Get(ctx context.Context, key string) (io.ReadCloser, storage.Info, error) {
	if c.gets++; c.gets == 1 {
		return nil, storage.Info{}, syscall.ECONNRESET
	}
	body, info, err := c.Store.Get(ctx, key)
	if err != nil || c.gets > 2 {
		return body, info, err
	}
	return struct {
		io.Reader
		io.Closer
	}{io.MultiReader(io.LimitReader(body, 9), iotest.ErrReader(syscall.ECONNRESET)), body}, info, nil
}

// Loading outlasts connections that break: all members resume at once, at a Store that
// may have been down just before.
func TestLoadingOutlastsTheStore(t *testing.T) {
	c := newCluster(t, 1)
	st := openTestStore(t, c.storage)
	want := ddpm.NewState(c.spec)
	want.Step = 3
	o, err := checkpoint.WritePart(t.Context(), st, runName, 3, 0, 1, checkpoint.Part{
		Total: int64(len(want.Weights)), Weights: want.Weights, M: want.M, V: want.V, EMA: want.EMA,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := checkpoint.Publish(t.Context(), st, checkpoint.Manifest{
		Run: runName, Step: 3, Digest: want.Digest(), Params: int64(len(want.Weights)), Parts: 1, Objects: []checkpoint.Object{o},
	}); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) { // which waits for no pause
		r := &run{name: runName, spec: c.spec, store: &crowded{Store: st}, log: slog.New(slog.DiscardHandler)}
		got := newState(c.spec)
		if err := r.loadCheckpoint(t.Context(), 3, got); err != nil {
			t.Fatal(err)
		}
		got.Step = 3
		if got.Digest() != want.Digest() {
			t.Error("the state that is loaded is another")
		}
	})
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // as when the generation is over
		r := &run{name: runName, spec: c.spec, store: &crowded{Store: st}, log: slog.New(slog.DiscardHandler)}
		if err := r.loadCheckpoint(ctx, 3, newState(c.spec)); err == nil {
			t.Error("it goes on for a generation that is over")
		}
	})
}
