package worker

import (
	"context"
	"io"
	"strings"
	"sync"
	"testing"

	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
	"github.com/ddpm-cluster/ddpm-cluster/storage"
)

// stuck is a Store that takes nothing until it is opened.
type stuck struct {
	storage.Store
	open <-chan struct{}
}

func (s stuck) Put(ctx context.Context, key string, r io.Reader, size int64, contentType string) (storage.Info, error) {
	select {
	case <-s.open:
		return s.Store.Put(ctx, key, r, size, contentType)
	case <-ctx.Done():
		return storage.Info{}, ctx.Err()
	}
}

// A Store that takes nothing holds no step: the members keep the copies that they may,
// give up what is due beyond these, and once the Store takes them, all copies are
// stored. One member whose Store is stuck is enough.
func TestStuckStoreHoldsNoStep(t *testing.T) {
	const steps, far = 40, 30
	for name, all := range map[string]bool{"for all": true, "for one": false} {
		t.Run(name, func(t *testing.T) {
			quiet := newCluster(t, 1)
			quiet.steps = steps
			_, want := quiet.train(t)

			c := newCluster(t, 2)
			c.steps, c.every = steps, 1
			open := make(chan struct{})
			c.store = func(i int, st storage.Store) storage.Store {
				if all || i == 0 {
					return stuck{st, open}
				}
				return st
			}
			var once sync.Once
			c.onMessage = func(_ *fake, _ *peer, m *ddpmv1.WorkerMessage) bool {
				// Training has come far while nothing could be stored.
				if m.GetProgress().GetStep() == far {
					once.Do(func() { close(open) })
				}
				return false
			}
			f, digest := c.train(t)
			if digest != want {
				t.Errorf("digest %s, want %s", digest, want)
			}
			skipped := map[uint64]int{}
			for _, u := range f.unsaved {
				if !strings.Contains(u.GetReason(), "hold no more copies") {
					t.Errorf("step %d: %s", u.GetStep(), u.GetReason())
				}
				skipped[u.GetStep()]++
			}
			for step := uint64(1); step <= steps; step++ {
				switch n := len(f.parts[step]); {
				case step <= maxCopies && n != 2:
					t.Errorf("step %d has %d parts, want both", step, n)
				case step > maxCopies && step <= far && (n != 0 || skipped[step] != 1):
					t.Errorf("step %d has %d parts and was given up %d times, want 0 and 1", step, n, skipped[step])
				case n == 1 || n == 2 && skipped[step] > 0:
					t.Errorf("step %d has %d parts and was given up %d times", step, n, skipped[step])
				}
			}
		})
	}
}

func TestCopiesAreBounded(t *testing.T) {
	for _, v := range []struct{ params, size, want int }{
		{100_000, 2, maxCopies},
		{10_000_000, 8, 4},
		{35_700_000, 1, 1},
		{100_000_000, 1, 1},
	} {
		if got := mostCopies(v.params, v.size); got != v.want {
			t.Errorf("%d parameters, %d members: %d copies, want %d", v.params, v.size, got, v.want)
		}
	}
}
