package registry

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

// A leadership that is lost can be taken up again, under a new term; what was
// written under the old one is there.
func TestRegain(t *testing.T) {
	t.Parallel()
	l := leading(t, dialled(t, external(t)), "r")
	if err := errors.Join(l.PutGeneration(t.Context(), membership{Number: 3}), l.PutWorker(t.Context(), "w1", "x", wait)); err != nil {
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
	if err := l.Check(t.Context()); !errors.Is(err, ErrDeposed) {
		t.Errorf("it still leads: %v", err)
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
	if err := errors.Join(l.Check(t.Context()), l.PutGeneration(t.Context(), membership{Number: 4}), l.PutWorker(t.Context(), "w1", "y", wait)); err != nil {
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
	interrupted, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := first.Regain(interrupted); err == nil {
		t.Error("a leadership is regained that another one has")
	}
	if err := first.Regain(t.Context()); !errors.Is(err, ErrDeposed) || !strings.Contains(err.Error(), "the coordinator at host:2") {
		t.Errorf("regaining it: %v", err)
	}
	if err := errors.Join(second.Check(t.Context()), second.Close()); err != nil {
		t.Errorf("the second one was disturbed: %v", err)
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
