package registry

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
)

// A leadership that is lost can be taken up again, under a new term; what was
// written under the old one is there.
func TestRegain(t *testing.T) {
	t.Parallel()
	l := leading(t, dialled(t, external(t)), "r")
	if err := errors.Join(l.PutGeneration(t.Context(), 3, membership{Number: 3}), l.PutWorker(t.Context(), "w1", "x", wait)); err != nil {
		t.Fatal(err)
	}
	if err := l.Check(t.Context()); err != nil {
		t.Errorf("it does not lead: %v", err)
	}
	term, lost := l.Term(), l.Lost()
	if err := revoke(t.Context(), l.client, l.session.Lease()); err != nil {
		t.Fatal(err)
	}
	select {
	case <-lost:
	case <-time.After(wait):
		t.Fatal("it does not notice")
	}
	if err := l.Check(t.Context()); !errors.Is(err, ErrDeposed) || strings.Contains(err.Error(), "another") {
		t.Errorf("it still leads, or another does: %v", err)
	}
	if err := l.Regain(t.Context()); err != nil {
		t.Fatal(err)
	}
	select {
	case <-l.Lost():
		t.Error("it is lost again at once")
	default:
	}
	var g membership
	if ok, err := l.Generation(t.Context(), &g); !ok || err != nil || g.Number != 3 || l.Term() <= term {
		t.Errorf("generation %v, %v, %v, term %d after %d", g, ok, err, l.Term(), term)
	}
	if err := l.KeepWorker(t.Context(), "w1"); err == nil {
		t.Error("a worker is taken to be stored whose lease is not kept any more")
	}
	if err := errors.Join(l.Check(t.Context()), l.PutGeneration(t.Context(), 4, membership{Number: 4}), l.PutWorker(t.Context(), "w1", "y", wait), l.KeepWorker(t.Context(), "w1")); err != nil {
		t.Errorf("it can't write: %v", err)
	}
}

// A lease that etcd holds yet, though its keeper has lost hope, does not keep its own
// holder out.
func TestRegainAtOnce(t *testing.T) {
	t.Parallel()
	l := leading(t, dialled(t, external(t)), "r")
	term := l.Term()
	l.session.Orphan()
	<-l.Lost()
	if err := l.Regain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := l.Check(t.Context()); err != nil || l.Term() <= term {
		t.Errorf("term %d after %d: %v", l.Term(), term, err)
	}
}

// Where another one has taken the leadership up, it is not regained.
func TestRegainFromAnother(t *testing.T) {
	t.Parallel()
	endpoint := external(t)
	first := leading(t, dialled(t, endpoint), "r")
	if err := revoke(t.Context(), first.client, first.session.Lease()); err != nil {
		t.Fatal(err)
	}
	<-first.Lost()
	second, err := Lead(t.Context(), dialled(t, endpoint), "r", "the coordinator at host:2")
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Check(t.Context()); !errors.Is(err, ErrDeposed) {
		t.Errorf("the first one leads too: %v", err)
	}
	if err := first.Regain(t.Context()); !errors.Is(err, ErrDeposed) || !strings.Contains(err.Error(), "the coordinator at host:2") {
		t.Errorf("regaining it: %v", err)
	}
	if err := errors.Join(second.Check(t.Context()), second.Close()); err != nil {
		t.Errorf("the second one was disturbed: %v", err)
	}
}

// A former leader that another one has followed does not stand for the election: the workers
// that it has are waited for.
func TestRegainDoesNotWait(t *testing.T) {
	t.Parallel()
	first, second := succeeded(t)
	r, err := first.client.Get(t.Context(), first.prefix+"led")
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Regain(t.Context()); !errors.Is(err, ErrDeposed) {
		t.Errorf("regaining it: %v", err)
	}
	if err := second.PutGeneration(t.Context(), 1, membership{Number: 1}); err != nil {
		t.Fatal(err)
	}
	since := first.client.Watch(t.Context(), first.prefix, clientv3.WithPrefix(), clientv3.WithRev(r.Header.Revision+1))
	for _, e := range (<-since).Events {
		if strings.HasPrefix(string(e.Kv.Key), first.prefix+"leader/") {
			t.Errorf("it stood for the election: %s of %s", e.Type, e.Kv.Key)
		}
	}
}

// standing is a former leader that tries to regain the leadership, of which another one that has
// not led yet keeps it; regained is how it goes.
func standing(ctx context.Context, t *testing.T) (former *Leader, winner *concurrency.Election, regained chan error) {
	t.Helper()
	endpoint := external(t)
	former = leading(t, dialled(t, endpoint), "r")
	if err := revoke(t.Context(), former.client, former.session.Lease()); err != nil {
		t.Fatal(err)
	}
	<-former.Lost()
	session, err := newSession(t.Context(), former.client, leaderTTL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(session.Orphan)
	winner = concurrency.NewElection(session, former.prefix+"leader")
	if err := winner.Campaign(t.Context(), "the winner"); err != nil {
		t.Fatal(err)
	}
	regained = make(chan error, 1)
	go func() { regained <- former.Regain(ctx) }()
	for deadline := time.Now().Add(wait); candidates(t, former) < 2; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it does not stand for the election")
		}
	}
	return former, winner, regained
}

func candidates(t *testing.T, l *Leader) int64 {
	t.Helper()
	r, err := l.client.Get(t.Context(), l.prefix+"leader/", clientv3.WithPrefix(), clientv3.WithCountOnly())
	if err != nil {
		t.Fatal(err)
	}
	return r.Count
}

// Nor does it go on standing for it when another one begins to lead.
func TestRegainEndsOnceAnotherLeads(t *testing.T) {
	t.Parallel()
	former, _, regained := standing(t.Context(), t)
	if _, err := former.client.Put(t.Context(), former.prefix+ledKey, `"another"`); err != nil {
		t.Fatal(err)
	}
	if err := <-regained; !errors.Is(err, ErrDeposed) || !strings.Contains(err.Error(), "the winner") || !strings.Contains(err.Error(), "start this one again") {
		t.Errorf("regaining it: %v", err)
	}
	if n := candidates(t, former); n != 1 {
		t.Errorf("%d stand for the election", n)
	}
}

// While it tries to regain the leadership, a former leader is none: it is a candidate, whose key
// in etcd is newer than the leader's.
func TestACandidateIsNoLeader(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	former, winner, regained := standing(ctx, t)
	if err := former.PutGeneration(t.Context(), 10, membership{Number: 10}); !errors.Is(err, ErrDeposed) || former.Term() >= uint64(winner.Rev()) {
		t.Errorf("a candidate writes, with term %d beside the leader's %d: %v", former.Term(), winner.Rev(), err)
	}
	if ok, err := former.Generation(t.Context(), new(membership)); ok || err != nil {
		t.Errorf("a generation is there: %v, %v", ok, err)
	}
	cancel()
	if err := <-regained; err == nil || candidates(t, former) != 1 {
		t.Errorf("%v; %d stand for the election", err, candidates(t, former))
	}
}

// What another one has decided meanwhile is not this one's to overwrite: it has to begin anew.
func TestRegainAfterAnother(t *testing.T) {
	t.Parallel()
	first, second := succeeded(t)
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	if err := first.Regain(t.Context()); !errors.Is(err, ErrDeposed) || !strings.Contains(err.Error(), "start this one again") {
		t.Errorf("regained, though another one has led: %v", err)
	}
	if err := first.Check(t.Context()); !errors.Is(err, ErrDeposed) {
		t.Errorf("it leads: %v", err)
	}
}

// succeeded gives a leader that has lost its lease, and the one that leads since.
func succeeded(t *testing.T) (first, second *Leader) {
	t.Helper()
	endpoint := external(t)
	first = leading(t, dialled(t, endpoint), "r")
	if err := revoke(t.Context(), first.client, first.session.Lease()); err != nil {
		t.Fatal(err)
	}
	<-first.Lost()
	return first, leading(t, dialled(t, endpoint), "r")
}

// A request that etcd takes late does not replace a newer generation; the same one may be
// stored again, as when the first answer was lost.
func TestAnOlderGenerationComesLate(t *testing.T) {
	t.Parallel()
	l := leading(t, dialled(t, external(t)), "r")
	for _, v := range []struct {
		number uint64
		want   error
	}{{9, nil}, {10, nil}, {9, ErrSuperseded}, {10, nil}, {11, nil}, {10, ErrSuperseded}} {
		if err := l.PutGeneration(t.Context(), v.number, membership{Number: v.number}); !errors.Is(err, v.want) {
			t.Errorf("generation %d: %v, want %v", v.number, err, v.want)
		}
	}
	var g membership
	if _, err := l.Generation(t.Context(), &g); err != nil || g.Number != 11 {
		t.Errorf("generation %d, %v", g.Number, err)
	}
}

// A standby waits for as long as another one leads, and leads when that one leaves;
// it can be told to wait no more.
func TestFollow(t *testing.T) {
	t.Parallel()
	endpoint := external(t)
	first, err := Lead(t.Context(), dialled(t, endpoint), "r", "me")
	if err != nil {
		t.Fatal(err)
	}
	standby := dialled(t, endpoint)
	impatient, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := Follow(impatient, standby, "r", "standby"); err == nil {
		t.Error("it leads beside another one")
	}
	type led struct {
		l   *Leader
		err error
	}
	leads := make(chan led, 1)
	go func() {
		l, err := Follow(t.Context(), standby, "r", "standby")
		leads <- led{l, err}
	}()
	select {
	case <-leads:
		t.Error("it leads beside another one")
	case <-time.After(100 * time.Millisecond):
	}
	if err := errors.Join(first.Check(t.Context()), first.Close()); err != nil {
		t.Fatal(err)
	}
	select {
	case next := <-leads:
		if next.err != nil {
			t.Fatal(next.err)
		}
		if err := next.l.Check(t.Context()); err != nil || next.l.Term() <= first.Term() {
			t.Errorf("it leads with term %d after %d: %v", next.l.Term(), first.Term(), err)
		}
		if err := next.l.Close(); err != nil {
			t.Error(err)
		}
	case <-time.After(wait):
		t.Fatal("it does not lead")
	}
}
