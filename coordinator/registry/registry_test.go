package registry

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"google.golang.org/grpc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// wait is how long a test waits for what should come at once.
const wait = 20 * time.Second

// embedded starts etcd in a new folder; the test's end closes it.
func embedded(t *testing.T, dir string) *Etcd {
	t.Helper()
	e, err := Embed(t.Context(), dir, quiet())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Errorf("close etcd: %v", err)
		}
	})
	return e
}

func leading(t *testing.T, e *Etcd, run string) *Leader {
	t.Helper()
	l, err := Lead(t.Context(), e, run, "me")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Errorf("give up the leadership: %v", err)
		}
	})
	return l
}

// workers lists the ids of the workers whose leases hold.
func workers(t *testing.T, l *Leader) []string {
	t.Helper()
	prefix := l.prefix + "workers/"
	r, err := l.client.Get(context.Background(), prefix, clientv3.WithPrefix())
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, kv := range r.Kvs {
		ids = append(ids, strings.TrimPrefix(string(kv.Key), prefix))
	}
	return ids
}

type membership struct {
	Number  uint64
	Members []string
}

// A run keeps its id and its generation over restarts; another run has its own.
func TestRunSurvivesRestarts(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data", "etcd")
	want := membership{7, []string{"a", "b"}}
	var id string
	var term uint64
	for start := range 2 {
		e, err := Embed(t.Context(), dir, quiet())
		if err != nil {
			t.Fatal(err)
		}
		l, err := Lead(t.Context(), e, "r", "me")
		if err != nil {
			t.Fatal(err)
		}
		var got membership
		ok, err := l.Generation(t.Context(), &got)
		if err != nil || ok != (start > 0) || ok && !reflect.DeepEqual(got, want) {
			t.Errorf("start %d: generation %+v, %v, %v", start, got, ok, err)
		}
		again, err := l.RunID(t.Context())
		if err != nil || again == "" || start > 0 && again != id {
			t.Errorf("start %d: id %q, before %q: %v", start, again, id, err)
		}
		if l.Term() <= term {
			t.Errorf("start %d: term %d after %d", start, l.Term(), term)
		}
		id, term = again, l.Term()
		if err := l.PutGeneration(t.Context(), want.Number, want); err != nil {
			t.Error(err)
		}
		other, err := Lead(t.Context(), e, "r2", "me")
		if err != nil {
			t.Fatal(err)
		}
		if otherID, err := other.RunID(t.Context()); err != nil || otherID == id {
			t.Errorf("another run has the id %q: %v", otherID, err)
		}
		if ok, err := other.Generation(t.Context(), &got); ok || err != nil {
			t.Errorf("another run has a generation: %v", err)
		}
		if err := errors.Join(other.Close(), l.Close(), e.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

// A coordinator that died without a word holds nobody up: the folder's lock says
// that it is dead.
func TestRestartAfterACrash(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	e := embedded(t, dir)
	crashed, err := Lead(t.Context(), e, "r", "the one that crashed")
	if err != nil {
		t.Fatal(err)
	}
	defer crashed.session.Orphan() // its lease stays
	begin := time.Now()
	l := leading(t, e, "r")
	if took := time.Since(begin); took > leaderTTL*time.Second/2 {
		t.Errorf("it took %s", took)
	}
	if err := crashed.PutGeneration(t.Context(), 1, membership{Number: 1}); !errors.Is(err, ErrDeposed) {
		t.Errorf("the one before writes a generation: %v", err)
	}
	if err := crashed.PutWorker(t.Context(), "w1", "x", wait); !errors.Is(err, ErrDeposed) {
		t.Errorf("the one before admits a worker: %v", err)
	}
	if ok, err := l.Generation(t.Context(), new(membership)); ok || err != nil {
		t.Errorf("a generation of the one before: %v, %v", ok, err)
	}
	if err := crashed.DropWorker(t.Context(), "w1"); err != nil {
		t.Error(err)
	}
}

// A leader with the embedded etcd is not deposed by having been halted.
func TestEmbeddedLeadershipIsPatient(t *testing.T) {
	t.Parallel()
	l := leading(t, embedded(t, t.TempDir()), "r")
	r, err := l.client.TimeToLive(t.Context(), l.session.Lease())
	if err != nil || r.TTL < 60*60 {
		t.Errorf("the leadership lasts %d s without a sign of life: %v", r.TTL, err)
	}
}

// Whoever loses its lease notices, and can write no more.
func TestLostLeadership(t *testing.T) {
	t.Parallel()
	l := leading(t, dialled(t, external(t)), "r")
	if err := revoke(t.Context(), l.client, l.session.Lease()); err != nil {
		t.Fatal(err)
	}
	if err := l.PutGeneration(t.Context(), 1, membership{}); !errors.Is(err, ErrDeposed) {
		t.Errorf("a write after the lease is gone: %v", err)
	}
	select {
	case <-l.Lost():
	case <-time.After(wait):
		t.Error("it does not notice")
	}
	if err := revoke(t.Context(), l.client, l.session.Lease()); err != nil {
		t.Errorf("revoking twice: %v", err)
	}
}

func TestWorkerLeases(t *testing.T) {
	t.Parallel()
	l := leading(t, embedded(t, t.TempDir()), "r")
	ctx := t.Context()
	for _, id := range []string{"kept", "silent", "dropped"} {
		if err := l.PutWorker(ctx, id, map[string]string{"ring": "a:1"}, time.Second); err != nil {
			t.Fatal(err)
		}
	}
	if got := workers(t, l); len(got) != 3 {
		t.Errorf("workers %v", got)
	}
	if err := l.DropWorker(ctx, "dropped"); err != nil {
		t.Error(err)
	}
	if got := workers(t, l); !reflect.DeepEqual(got, []string{"kept", "silent"}) {
		t.Errorf("workers %v after one was dropped", got)
	}
	// etcd looks for expired leases twice a second, and rounds a short one up.
	for end := time.Now().Add(wait); len(workers(t, l)) > 1; {
		if err := l.KeepWorker(ctx, "kept"); err != nil {
			t.Fatal(err)
		}
		if time.Now().After(end) {
			t.Fatalf("the silent worker is still there: %v", workers(t, l))
		}
		time.Sleep(20 * time.Millisecond)
	}
	if got := workers(t, l); !reflect.DeepEqual(got, []string{"kept"}) {
		t.Errorf("workers %v after one fell silent", got)
	}
	if err := l.KeepWorker(ctx, "silent"); err == nil {
		t.Error("a lease that expired can be renewed")
	}
	if err := errors.Join(l.DropWorker(ctx, "silent"), l.DropWorker(ctx, "unknown")); err != nil {
		t.Errorf("workers that are not there: %v", err)
	}
}

// Two coordinators can't share a data dir, and the second leaves the first one's
// files alone.
func TestOneProcessPerFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	embedded(t, dir)
	_, err := Embed(t.Context(), dir, quiet())
	if err == nil || !strings.Contains(err.Error(), "--data-dir") || !strings.Contains(err.Error(), dir) {
		t.Errorf("a second etcd in one folder: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "member")); err != nil {
		t.Error(err)
	}
}

// A start that comes to nothing leaves nothing, but what was there.
func TestDiscard(t *testing.T) {
	t.Parallel()
	there := t.TempDir()
	e, err := Embed(t.Context(), filepath.Join(there, "a", "b", "etcd"), quiet())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(there, "a", "theirs"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := e.Discard(); err != nil {
		t.Error(err)
	}
	left, err := os.ReadDir(filepath.Join(there, "a"))
	if err != nil || len(left) != 1 || left[0].Name() != "theirs" {
		t.Errorf("left: %v, %v", left, err)
	}

	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Embed(canceled, filepath.Join(there, "c", "etcd"), quiet()); !errors.Is(err, context.Canceled) {
		t.Errorf("a start that was interrupted: %v", err)
	}
	if _, err := os.Stat(filepath.Join(there, "c")); err == nil {
		t.Error("a start that was interrupted left its folder")
	}
	file := filepath.Join(there, "a", "theirs")
	if _, err := Embed(t.Context(), filepath.Join(file, "etcd"), quiet()); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("a file in the way: %v", err)
	}
}

// In an etcd that several share, a second leader is refused with the first one's
// name, and takes over when that one leaves.
func TestSecondLeader(t *testing.T) {
	t.Parallel()
	endpoint := external(t)
	first, err := Lead(t.Context(), dialled(t, endpoint), "r", "the coordinator at host:1")
	if err != nil {
		t.Fatal(err)
	}
	second := dialled(t, endpoint)
	_, err = lead(t.Context(), second, "run r", runPrefix("r"), "me", 100*time.Millisecond)
	if !errors.Is(err, ErrDeposed) || !strings.Contains(err.Error(), "the coordinator at host:1") || !strings.Contains(err.Error(), "--run") {
		t.Errorf("a second leader: %v", err)
	}
	if err := first.PutGeneration(t.Context(), 1, membership{Number: 1}); err != nil {
		t.Errorf("the first one was disturbed: %v", err)
	}
	leading(t, second, "another")
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	next := leading(t, second, "r")
	if next.Term() <= first.Term() {
		t.Errorf("term %d after %d", next.Term(), first.Term())
	}
	if err := first.PutGeneration(t.Context(), 2, membership{Number: 2}); !errors.Is(err, ErrDeposed) {
		t.Errorf("the first one still writes: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Errorf("closing twice: %v", err)
	}
}

// wire dials until it is cut.
type wire struct {
	mu    sync.Mutex
	conns []net.Conn
	dead  bool
}

func (w *wire) dial(ctx context.Context, address string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	w.mu.Lock()
	defer w.mu.Unlock()
	if err == nil && w.dead {
		return nil, errors.Join(errors.New("the wire is cut"), c.Close())
	}
	w.conns = append(w.conns, c)
	return c, err
}

func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dead = true
	for _, c := range w.conns {
		_ = c.Close() // it may be closed already
	}
}

// An etcd that vanishes is an error in bounded time, for every request.
func TestEtcdVanishes(t *testing.T) {
	t.Parallel()
	w := &wire{}
	client, err := clientv3.New(clientv3.Config{
		Endpoints: []string{external(t)}, Logger: zap.NewNop(), DialOptions: []grpc.DialOption{grpc.WithContextDialer(w.dial)},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	l, err := Lead(t.Context(), &Etcd{client: client}, "r", "me")
	if err != nil {
		t.Fatal(err)
	}
	w.cut()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := l.PutGeneration(ctx, 1, membership{}); err == nil || !strings.Contains(err.Error(), "/ddpm/runs/r/generation") {
		t.Errorf("a write: %v", err)
	}
	if err := l.PutWorker(ctx, "w1", "x", wait); err == nil || !strings.Contains(err.Error(), "w1") {
		t.Errorf("an admission: %v", err)
	}
	begin := time.Now()
	if err := l.Close(); err == nil {
		t.Error("giving up the leadership succeeds")
	}
	if took := time.Since(begin); took > closeLimit+wait/4 {
		t.Errorf("giving up the leadership takes %s", took)
	}
}

func TestDialNobody(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	endpoint := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := Dial(ctx, []string{endpoint}, nil); err == nil || !strings.Contains(err.Error(), endpoint) || !strings.Contains(err.Error(), "--etcd") {
		t.Errorf("nobody listens: %v", err)
	}
}

func TestRoom(t *testing.T) {
	if err := enough(walRoom); err != nil {
		t.Error(err)
	}
	if err := enough(10 << 20); err == nil || !strings.Contains(err.Error(), "10 MB free, and 80 are needed") {
		t.Errorf("10 MB: %v", err)
	}
	if err := checkRoom(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a folder that is not there has room")
	}
}
