package coordinator

import (
	"bytes"
	"errors"
	"strings"
	"sync"
	"testing"

	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
)

// locked is a buffer that several may write to.
type locked struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *locked) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *locked) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// A child that dies is told with its last words, and explains the session that
// broke with it.
func TestChildDies(t *testing.T) {
	t.Parallel()
	script := `echo "time=x level=INFO msg=quiet" >&2; echo "time=x level=WARN msg=odd" >&2; echo "goroutine 1" >&2; echo "ddpm-worker: no luck" >&2; exit 3`
	var log locked
	w, err := startLocal(t.Context(), 1, []string{"sh", "-c", script}, localAccess{}, "127.0.0.1:1", 1, &log, "text", false)
	if err != nil {
		t.Fatal(err)
	}
	defer w.end()
	var end childEnd
	within(t, func() { end = <-w.lost })
	if !strings.Contains(end.how, "local worker 1") || !strings.Contains(end.how, "exit status 3") || !strings.HasSuffix(end.how, ": no luck") {
		t.Errorf("it ended: %s", end.how)
	}
	if want := "[worker 1] time=x level=WARN msg=odd\n[worker 1] goroutine 1\n"; log.String() != want {
		t.Errorf("the log is %q, want %q", log.String(), want)
	}
	broke := errors.New("broke")
	if err := w.why(&ddpmv1.Hello{Hostname: hostname(), Pid: end.pid}, broke); err == nil || err.Error() != end.how {
		t.Errorf("the session broke: %v", err)
	}
	if !end.is(&ddpmv1.Hello{Hostname: hostname(), Pid: end.pid}) {
		t.Error("the child is not itself")
	}
	elsewhere := &ddpmv1.Hello{Hostname: hostname() + "x", Pid: end.pid}
	if err := w.why(elsewhere, broke); !errors.Is(err, broke) || end.is(elsewhere) {
		t.Errorf("a process of another machine that has the same number: %v", err)
	}
}

// When one can't be started none stays.
func TestChildrenDoNotStart(t *testing.T) {
	t.Parallel()
	if _, err := startLocal(t.Context(), 2, []string{"/no/such/program"}, localAccess{}, "127.0.0.1:1", 1, &locked{}, "text", false); err == nil || !strings.Contains(err.Error(), "start local worker 1") {
		t.Errorf("%v", err)
	}
}

// Children that do not end by themselves are made to.
func TestChildrenEnd(t *testing.T) {
	t.Parallel()
	w, err := startLocal(t.Context(), 2, []string{"sh", "-c", "exec sleep 1000"}, localAccess{}, "127.0.0.1:1", 1, &locked{}, "text", true)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range w.children {
		select {
		case <-c.ended:
			t.Errorf("child %d has ended by itself: %s", c.number, c.how)
		default:
		}
	}
	within(t, w.stop)
	for _, c := range w.children {
		select {
		case <-c.ended:
		default:
			t.Errorf("child %d has not ended", c.number)
		}
	}
}

func TestChildLog(t *testing.T) {
	t.Parallel()
	for _, v := range []struct {
		name    string
		verbose bool
		writes  []string
		log     string
		last    string
	}{
		{"in pieces", false, []string{"time=1 level=ERR", "OR msg=a\ntime=2 level=INFO\nddpm-wor", "ker: b\n"}, "> time=1 level=ERROR msg=a\n", "b"},
		{"a crash", false, []string{"panic: index out of range\n\ngoroutine 1:\n"}, "> panic: index out of range\n> \n> goroutine 1:\n", "panic: index out of range"},
		{"memory", false, []string{"fatal error: out of memory\nddpm-worker: later\n"}, "> fatal error: out of memory\n", "later"},
		{"verbose", true, []string{"time=2 level=INFO\nddpm-worker: b\n"}, "> time=2 level=INFO\n> ddpm-worker: b\n", "b"},
		{"in JSON", false, []string{`{"time":"1","level":"WARN","msg":"a"}` + "\n" + `{"time":"2","level":"INFO"}` + "\n"}, `{"time":"1","level":"WARN","msg":"a"}` + "\n", ""},
		{"nothing", false, nil, "", ""},
	} {
		var log locked
		c := &childLog{prefix: "> ", w: &log, verbose: v.verbose}
		for _, s := range v.writes {
			if n, err := c.Write([]byte(s)); n != len(s) || err != nil {
				t.Fatal(n, err)
			}
		}
		if log.String() != v.log || c.last() != v.last {
			t.Errorf("%s: the log is %q and the last words %q, want %q and %q", v.name, log.String(), c.last(), v.log, v.last)
		}
	}
}
