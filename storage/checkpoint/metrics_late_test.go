package checkpoint

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/ddpm-cluster/ddpm-cluster/storage"
)

// What the coordinator before was writing when it died may reach the Store after the log
// was opened: once.
func TestMetricsWrittenLate(t *testing.T) {
	for name, k := range map[string]struct {
		early []uint64 // written before, none: nothing is there yet
		late  []uint64
		want  string
	}{
		"more":         {[]uint64{1, 2}, []uint64{3, 4, 5}, "1 2 3 4 9 "},
		"the first":    {nil, []uint64{1, 2, 5, 6}, "1 2 9 "},
		"after a gone": {[]uint64{1, 2, 6, 7, 8}, []uint64{9}, "1 2 9 "},
	} {
		t.Run(name, func(t *testing.T) {
			st, _ := newStore(t)
			if k.early != nil {
				log(t, openMetrics(t, st, 0), k.early...)
			}
			before, l := openMetrics(t, st, 6), openMetrics(t, st, 5)
			log(t, before, k.late...)
			log(t, l, 9)
			log(t, l)
			if got := logged(t, st); got != k.want {
				t.Errorf("got %s, want %s", got, k.want)
			}
		})
	}
}

// appendTo adds lines that no Flush has stored.
func appendTo(t *testing.T, l *MetricsLog, steps ...uint64) {
	t.Helper()
	for _, s := range steps {
		if err := l.Append(s, fmt.Appendf(nil, `{"step":%d,"loss":0.5}`, s)); err != nil {
			t.Fatal(err)
		}
	}
}

// writeLate makes the object what a former coordinator was writing: the lines of before resume,
// and of steps that its successor does again.
func writeLate(t *testing.T, st storage.Store, steps ...uint64) {
	t.Helper()
	var text strings.Builder
	for _, s := range steps {
		fmt.Fprintf(&text, "{\"step\":%d,\"loss\":0.5}\n", s)
	}
	if _, err := st.Put(t.Context(), MetricsKey(testRun), strings.NewReader(text.String()), int64(text.Len()), "application/jsonl"); err != nil {
		t.Fatal(err)
	}
}

// A former coordinator that was halted while it wrote may go on long after its successor has
// stored lines of its own, and more than one of them may: none of its lines are lost, none are
// there twice.
func TestMetricsWrittenLateAgain(t *testing.T) {
	st, _ := newStore(t)
	log(t, openMetrics(t, st, 0), 1, 2, 3, 4)
	l := openMetrics(t, st, 5)
	log(t, l, 5, 6)
	log(t, l, 7)
	for _, s := range []uint64{8, 10} {
		writeLate(t, st, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13)
		log(t, l, s) // which writes nothing: another one may live
		if got := logged(t, st); got != "1 2 3 4 5 6 7 8 9 10 11 12 13 " {
			t.Errorf("in doubt it wrote %s", got)
		}
		log(t, l, s+1)
	}
	if got := logged(t, st); got != "1 2 3 4 5 6 7 8 9 10 11 " {
		t.Errorf("got %s", got)
	}
}

// Whoever writes twice in a row is alive.
func TestMetricsWrittenByAnother(t *testing.T) {
	st, _ := newStore(t)
	l := openMetrics(t, st, 5)
	log(t, l, 5)
	writeLate(t, st, 1, 2)
	log(t, l, 6)
	writeLate(t, st, 1, 2, 3)
	for range 2 {
		appendTo(t, l, 7)
		if err := l.Flush(t.Context()); !errors.Is(err, ErrConflict) {
			t.Errorf("another one writes too: %v", err)
		}
	}
	if got := logged(t, st); got != "1 2 3 " {
		t.Errorf("got %s", got)
	}
}

// After the last Flush no other one comes: it leaves all lines in the Store, also where a
// late write has come after the last line was stored.
func TestMetricsFinish(t *testing.T) {
	for name, last := range map[string][]uint64{"with lines": {7, 8}, "all stored before": nil} {
		t.Run(name, func(t *testing.T) {
			st, _ := newStore(t)
			l := openMetrics(t, st, 5)
			log(t, l, 5, 6)
			writeLate(t, st, 1, 2, 3, 4, 5, 6, 7, 8, 9)
			appendTo(t, l, last...)
			if err := l.Finish(t.Context()); err != nil {
				t.Fatal(err)
			}
			want := "1 2 3 4 5 6 "
			if last != nil {
				want += "7 8 "
			}
			if got := logged(t, st); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
	st, _ := newStore(t)
	if err := openMetrics(t, st, 0).Finish(t.Context()); err != nil {
		t.Error(err)
	}
	if _, _, err := st.Get(t.Context(), MetricsKey(testRun)); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("nothing was logged, but %v", err)
	}
}

// A write that fails says nothing of what is in the Store then: it is read before the next.
func TestMetricsFailsAndWrittenLate(t *testing.T) {
	st, _ := newStore(t)
	flaky := &noPuts{Store: st}
	l := openMetrics(t, flaky, 5)
	log(t, l, 5)
	flaky.down = true
	appendTo(t, l, 6)
	if err := l.Flush(t.Context()); !errors.Is(err, errLost) {
		t.Fatal(err)
	}
	flaky.down = false
	writeLate(t, st, 1, 2, 9)
	log(t, l, 7)
	if got := logged(t, st); got != "1 2 5 6 7 " {
		t.Errorf("got %s", got)
	}
}

// A read that breaks off does not make what was read of the object all of it.
func TestMetricsAdoptFails(t *testing.T) {
	st, _ := newStore(t)
	l := openMetrics(t, st, 5)
	log(t, l, 5)
	writeLate(t, st, 1, 2, 3)
	appendTo(t, l, 6)
	l.st = brokenReads{st, 30, errLost}
	if err := l.Flush(t.Context()); !errors.Is(err, errLost) {
		t.Fatal(err)
	}
	l.st = st
	if err := errors.Join(l.Flush(t.Context()), l.Flush(t.Context())); err != nil {
		t.Fatal(err)
	}
	if got := logged(t, st); got != "1 2 3 5 6 " {
		t.Errorf("got %s", got)
	}
}

// Of a log's own lines only the newest are in memory; the others stay where they are.
func TestMetricsHoldsTheNewest(t *testing.T) {
	st, _ := newStore(t)
	l := openMetrics(t, st, 3)
	l.holds = 3 * len("{\"step\":1,\"loss\":0.5}\n")
	log(t, l, 3, 4)
	log(t, l, 5, 5, 6, 7)
	writeLate(t, st, 1, 2, 3, 4, 5, 5, 6, 8, 9)
	log(t, l, 8)
	log(t, l, 9)
	if got := logged(t, st); got != "1 2 3 4 5 5 6 7 8 9 " {
		t.Errorf("got %s", got)
	}
	if len(l.written) > l.holds {
		t.Errorf("it holds %q", l.written)
	}
}
