package pool

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/sampler/job"
	"github.com/ddpm-cluster/ddpm-cluster/storage"
)

// fakeKeys is etcd in a map.
type fakeKeys struct {
	values map[string]string
	// fails, if not nil, says of each write whether it fails, and whether it is done
	// all the same, as one whose answer is lost.
	fails func() (fails, done bool)
}

func newKeys() *fakeKeys { return &fakeKeys{values: map[string]string{}} }

func (k *fakeKeys) write(do func()) error {
	if k.fails != nil {
		if fails, done := k.fails(); fails {
			if done {
				do()
			}
			return errors.New("etcd is away")
		}
	}
	do()
	return nil
}

func (k *fakeKeys) Put(_ context.Context, key string, value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return k.write(func() { k.values[key] = string(text) })
}

func (k *fakeKeys) Delete(_ context.Context, prefix string) error {
	return k.write(func() {
		maps.DeleteFunc(k.values, func(key, _ string) bool { return strings.HasPrefix(key, prefix) })
	})
}

func (k *fakeKeys) Each(_ context.Context, prefix string, do func(string, []byte) error) error {
	for _, key := range slices.Sorted(maps.Keys(k.values)) {
		if strings.HasPrefix(key, prefix) {
			if err := do(key, []byte(k.values[key])); err != nil {
				return err
			}
		}
	}
	return nil
}

const testBuild = "build"

// newLeader is a server that leads, on keys that may hold what another left, without
// the clock that takes leases back.
func newLeader(t *testing.T, keys Keys) *Server {
	t.Helper()
	store, err := storage.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s := New(Config{Store: store, Build: testBuild, Log: slog.New(slog.DiscardHandler)})
	t.Cleanup(s.Close)
	if err := s.load(t.Context(), keys); err != nil {
		t.Fatal(err)
	}
	return s
}

// add queues a job of n images past what SubmitJob looks at.
func (s *Server) add(t *testing.T, number uint64, n, size int) string {
	t.Helper()
	r := Record{
		ID: fmt.Sprintf("job%d", number), Number: number, Job: job.Job{Run: "r", N: n}, TaskSize: size,
		Build: testBuild, State: Open, Submitted: time.Now(),
	}
	if err := s.keys.Put(t.Context(), jobKey(r.ID), r); err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queue.Submitted(r)
	s.wake()
	return r.ID
}
