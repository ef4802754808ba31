package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/ddpm-cluster/ddpm-cluster/storage"
)

func openMetrics(t *testing.T, st storage.Store, resume uint64) *MetricsLog {
	t.Helper()
	l, err := OpenMetrics(t.Context(), st, testRun, resume)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func log(t *testing.T, l *MetricsLog, steps ...uint64) {
	t.Helper()
	for _, s := range steps {
		if err := l.Append(s, fmt.Appendf(nil, `{"step":%d,"loss":0.5}`, s)); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// logged returns the steps in the stored log, as text.
func logged(t *testing.T, st storage.Store) string {
	t.Helper()
	data, err := readAll(t.Context(), st, MetricsKey(testRun), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	return strings.NewReplacer(`{"step":`, "", `,"loss":0.5}`, "", "\n", " ").Replace(string(data))
}

func TestMetrics(t *testing.T) {
	st, _ := newStore(t)
	l := openMetrics(t, st, 0)
	log(t, l)
	if _, _, err := st.Get(t.Context(), MetricsKey(testRun)); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("nothing was logged, but %v", err)
	}
	log(t, l, 1, 2)
	log(t, l, 3)
	log(t, l)
	log(t, l, 4, 4, 5)
	if got := logged(t, st); got != "1 2 3 4 4 5 " {
		t.Errorf("got %s", got)
	}

	// Resumed at step 4: it and later ones come again.
	l = openMetrics(t, st, 4)
	if got := logged(t, st); got != "1 2 3 4 4 5 " {
		t.Errorf("opening wrote %s", got)
	}
	log(t, l, 4)
	log(t, l, 5, 6)
	if got := logged(t, st); got != "1 2 3 4 5 6 " {
		t.Errorf("got %s", got)
	}
	log(t, openMetrics(t, st, 100), 100)
	if got := logged(t, st); got != "1 2 3 4 5 6 100 " {
		t.Errorf("got %s", got)
	}
	log(t, openMetrics(t, st, 0), 1)
	if got := logged(t, st); got != "1 " {
		t.Errorf("got %s", got)
	}
}

// Of a log that someone has damaged, the lines before stay.
func TestMetricsDamaged(t *testing.T) {
	for text, want := range map[string]string{
		"{\"step\":1,\"loss\":0.5}\nnoise\n{\"step\":2,\"loss\":0.5}\n": "1 9 ",
		"{\"step\":1,\"loss\":0.5}\n{\"step\":2,\"lo":                   "1 9 ",
		"{\"step\":1,\"loss\":0.5}\n\n{\"step\":2,\"loss\":0.5}\n":      "1 9 ",
		"{\"step\":3,\"loss\":0.5}\n{\"step\":2,\"loss\":0.5}\n":        "3 9 ",
		"": "9 ",
	} {
		st, _ := newStore(t)
		if _, err := st.Put(t.Context(), MetricsKey(testRun), strings.NewReader(text), int64(len(text)), "text/plain"); err != nil {
			t.Fatal(err)
		}
		log(t, openMetrics(t, st, 9), 9)
		if got := logged(t, st); got != want {
			t.Errorf("%q became %s, want %s", text, got, want)
		}
	}
	st, _ := newStore(t)
	l := openMetrics(t, st, 0)
	log(t, l, 1)
	if err := st.Delete(t.Context(), MetricsKey(testRun)); err != nil {
		t.Fatal(err)
	}
	log(t, l, 2)
	log(t, l, 3)
	if got := logged(t, st); got != "2 3 " {
		t.Errorf("after the log was deleted: %s", got)
	}
}

// Two coordinators that both believe in themselves: one of them is told, and does not cut
// the other's lines.
func TestMetricsOfTwoWriters(t *testing.T) {
	st, _ := newStore(t)
	first, second := openMetrics(t, st, 0), openMetrics(t, st, 0)
	log(t, first, 1, 2)
	log(t, second, 1) // which writes nothing: the first could be a dead one's last write
	log(t, first, 3)
	for range 2 {
		if err := second.Append(2, []byte(`{"step":2,"loss":0.5}`)); err != nil {
			t.Fatal(err)
		}
		if err := second.Flush(t.Context()); !errors.Is(err, ErrConflict) || !strings.Contains(err.Error(), "another coordinator") {
			t.Errorf("the second writer: %v", err)
		}
	}
	log(t, first, 4)
	if got := logged(t, st); got != "1 2 3 4 " {
		t.Errorf("got %s", got)
	}
}

func TestMetricsRefuses(t *testing.T) {
	st, _ := newStore(t)
	l := openMetrics(t, st, 0)
	log(t, l, 5)
	for line, step := range map[string]uint64{
		`{"step":7}`: 8, `{"loss":1}`: 7, `[7]`: 7, `{"step":7`: 7, "{\n\"step\":7}": 7, `{"step":-1}`: 7, `{"step":4}`: 4, `null`: 0,
	} {
		if err := l.Append(step, []byte(line)); err == nil || !strings.Contains(err.Error(), "metrics.jsonl") {
			t.Errorf("%q as step %d: %v", line, step, err)
		}
	}
	if _, err := OpenMetrics(t.Context(), st, "No Name", 0); err == nil {
		t.Error("a bad run name is no error")
	}
	if _, err := OpenMetrics(t.Context(), brokenReads{st, 3, errLost}, testRun, 9); !errors.Is(err, errLost) {
		t.Errorf("an unreadable log: %v", err)
	}
}

// noPuts is a Store that can't be written for a while.
type noPuts struct {
	storage.Store
	down bool
}

func (n *noPuts) Put(ctx context.Context, key string, r io.Reader, size int64, contentType string) (storage.Info, error) {
	if n.down {
		return storage.Info{}, errLost
	}
	return n.Store.Put(ctx, key, r, size, contentType)
}

func TestMetricsFlushFails(t *testing.T) {
	st, _ := newStore(t)
	flaky := &noPuts{Store: st}
	l := openMetrics(t, flaky, 0)
	log(t, l, 1)
	flaky.down = true
	if err := l.Append(2, []byte(`{"step":2,"loss":0.5}`)); err != nil {
		t.Fatal(err)
	}
	if err := l.Flush(t.Context()); !errors.Is(err, errLost) {
		t.Fatal(err)
	}
	flaky.down = false
	log(t, l, 3)
	if got := logged(t, st); got != "1 2 3 " {
		t.Errorf("got %s", got)
	}
}

func TestMetricsConcurrent(t *testing.T) {
	st, _ := newStore(t)
	l := openMetrics(t, st, 0)
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for range 10 {
				if err := l.Flush(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	var want strings.Builder
	for s := range uint64(200) {
		if err := l.Append(s, fmt.Appendf(nil, `{"step":%d,"loss":0.5}`, s)); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&want, "%d ", s)
	}
	wg.Wait()
	log(t, l)
	if got := logged(t, st); got != want.String() {
		t.Errorf("got %s", got)
	}
}
