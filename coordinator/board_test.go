package coordinator

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/ddpm-cluster/ddpm-cluster/coordinator/report"
	"github.com/ddpm-cluster/ddpm-cluster/storage"
)

// failing is a Store that takes nothing while it is down.
type failing struct {
	storage.Store
	down bool
}

func (f *failing) Put(ctx context.Context, key string, r io.Reader, size int64, kind string) (storage.Info, error) {
	if f.down {
		return storage.Info{}, errors.New("it is down")
	}
	return f.Store.Put(ctx, key, r, size, kind)
}

// Event files are whole objects that ascend by name; what a Store does not take waits
// for the next time.
func TestBoard(t *testing.T) {
	t.Parallel()
	st, err := storage.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	f := &failing{Store: st}
	b := newBoard(t.Context(), f, "r", 5, slog.New(slog.DiscardHandler))
	line := func(step uint64) report.Line {
		return report.Line{Step: step, Loss: 0.5, GradientNorm: 1, Images: 4, Seconds: 2, ComputeSeconds: 1}
	}
	b.step(line(5))
	b.flush(t.Context())
	f.down = true
	b.step(line(6))
	b.flush(t.Context())
	b.step(line(7))
	b.flush(t.Context())
	f.down = false
	b.close(t.Context())
	objects, err := st.List(t.Context(), "runs/r/tensorboard/events.out.tfevents.")
	if err != nil {
		t.Fatal(err)
	}
	if len(objects) != 3 || !slices.IsSortedFunc(objects, func(a, b storage.Info) int { return strings.Compare(a.Key, b.Key) }) {
		t.Fatalf("%v", objects)
	}
	for i, o := range objects {
		r, _, err := st.Get(t.Context(), o.Key)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err := errors.Join(err, r.Close()); err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(text), "brain.Event:2"); n != 1 {
			t.Errorf("file %d begins %d times", i, n)
		}
		if n := strings.Count(string(text), "train/loss"); n != 1 {
			t.Errorf("file %d has %d losses", i, n)
		}
	}
}

// A Store that is away for long costs bounded memory.
func TestBoardHasBoundedRoom(t *testing.T) {
	t.Parallel()
	st, err := storage.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	b := newBoard(t.Context(), st, "r", 1, slog.New(slog.DiscardHandler))
	b.pending = make([]byte, boardRoom)
	b.step(report.Line{Step: 1})
	if len(b.pending) != boardRoom || b.dropped != 1 {
		t.Errorf("%d bytes, %d dropped", len(b.pending), b.dropped)
	}
	b.close(t.Context())
}

// Without --tensorboard nothing is written.
func TestNoBoard(*testing.T) {
	var b *board
	b.step(report.Line{})
	b.picture(1, nil, 1)
	b.close(context.Background())
}
