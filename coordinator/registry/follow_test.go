package registry

import (
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/ddpm-cluster/ddpm-cluster/internal/s3test"
)

// A standby whose place in the queue is lost takes another one, and leads when its time comes.
func TestAStandbyWhoseLeaseRanOut(t *testing.T) {
	t.Parallel()
	endpoint := external(t)
	first := leading(t, dialled(t, endpoint), "r")
	leads := following(t, dialled(t, endpoint))
	before := awaitStandby(t, first, 0)
	if err := revoke(t.Context(), first.client, before); err != nil {
		t.Fatal(err)
	}
	awaitStandby(t, first, before)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	next := <-leads
	if next == nil {
		t.Fatal("it does not lead")
	}
	if err := next.Check(t.Context()); err != nil {
		t.Error(err)
	}
}

// A standby goes on standing by where its watch can't be taken up again, since etcd has
// compacted what it began at.
func TestAStandbyBehindACompaction(t *testing.T) {
	t.Parallel()
	endpoint := external(t)
	first := leading(t, dialled(t, endpoint), "r")
	way := s3test.StartProxy(t, endpoint)
	leads := following(t, dialled(t, way.Address))
	awaitStandby(t, first, 0)
	time.Sleep(200 * time.Millisecond) // by then it watches; what follows holds in any case
	way.Set(s3test.Fault{Refuse: true})
	for i := range uint64(50) {
		if err := first.PutGeneration(t.Context(), i+1, membership{Number: i + 1}); err != nil {
			t.Fatal(err)
		}
	}
	r, err := first.client.Get(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := first.client.Compact(t.Context(), r.Header.Revision); err != nil {
		t.Fatal(err)
	}
	way.Set(s3test.Fault{})
	time.Sleep(time.Second) // for its watch to fail
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if <-leads == nil {
		t.Error("it does not lead")
	}
}

// following stands by, and gives the leadership; nil where it did not come.
func following(t *testing.T, e *Etcd) <-chan *Leader {
	leads := make(chan *Leader, 1)
	go func() {
		l, err := Follow(t.Context(), e, "r", "standby")
		if err != nil {
			t.Errorf("it stands by no more: %v", err)
		} else {
			t.Cleanup(func() { _ = l.Close() }) // which is free when its lease ends
		}
		leads <- l
	}()
	return leads
}

// awaitStandby waits for a standby's key under another lease than one before.
func awaitStandby(t *testing.T, l *Leader, before clientv3.LeaseID) clientv3.LeaseID {
	t.Helper()
	for deadline := time.Now().Add(2 * wait); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		r, err := l.client.Get(t.Context(), l.prefix+"leader/", clientv3.WithPrefix())
		if err != nil {
			t.Fatal(err)
		}
		for _, kv := range r.Kvs {
			if lease := clientv3.LeaseID(kv.Lease); string(kv.Value) == "standby" && lease != before {
				return lease
			}
		}
	}
	t.Fatal("nobody stands by")
	return 0
}
