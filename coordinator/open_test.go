package coordinator

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/ddpm-cluster/ddpm-cluster/coordinator/config"
	"github.com/ddpm-cluster/ddpm-cluster/storage"
	"github.com/ddpm-cluster/ddpm-cluster/storage/checkpoint"
)

// flaky is a Store that resets the first connection for each object and each list.
type flaky struct {
	storage.Store
	reset map[string]bool
}

func (f *flaky) once(what string) error {
	if f.reset[what] {
		return nil
	}
	f.reset[what] = true
	return syscall.ECONNRESET
}

func (f *flaky) List(ctx context.Context, prefix string) ([]storage.Info, error) {
	if err := f.once("list " + prefix); err != nil {
		return nil, err
	}
	return f.Store.List(ctx, prefix)
}

func (f *flaky) Get(ctx context.Context, key string) (io.ReadCloser, storage.Info, error) {
	if err := f.once(key); err != nil {
		return nil, storage.Info{}, err
	}
	return f.Store.Get(ctx, key)
}

// A Store that has been found usable may fail for a while when a run is taken up, by a
// start and by a standby that leads.
func TestTakingUpOutlastsTheStore(t *testing.T) {
	t.Parallel()
	l, slow := publishing(t)
	close(slow.let)
	spec, err := l.keeper.spec.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if err := checkpoint.CreateRun(t.Context(), slow.Store, "r", spec); err != nil {
		t.Fatal(err)
	}
	l.addCheckpoint(t.Context(), t, slow, 3)
	l.settle(t.Context())
	text := []byte(`{"step":3,"loss":0.5}` + "\n")
	_, err = slow.Put(t.Context(), checkpoint.MetricsKey("r"), strings.NewReader(string(text)), int64(len(text)), "application/jsonl")
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) { // which waits for no pause
		s := &start{
			store: &flaky{slow.Store, map[string]bool{}}, log: slog.New(slog.DiscardHandler), config: settings(t, "--preset", "tiny", "--run", "r"),
			plan: config.Plan{Run: "r", Spec: l.keeper.spec, Steps: 9},
		}
		if err := s.look(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(s.existing, s.resumes, s.newest.Step, s.loss); got != "true true 3 0.5" {
			t.Errorf("found %s", got)
		}
		s.store = &flaky{slow.Store, map[string]bool{}}
		if err := s.lookAgain(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
