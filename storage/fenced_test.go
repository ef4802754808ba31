package storage

import (
	"bytes"
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"
)

// What a writer that was replaced tries again does not land, however often; one that may write
// again does then.
func TestFenced(t *testing.T) {
	t.Parallel()
	local, err := Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	put(t, local, "log", "the leader's")
	replaced := errors.New("another one leads")
	var leads atomic.Bool
	tried := make(chan struct{}, 100)
	st := Patient(Fenced(local, func(context.Context) error {
		tried <- struct{}{}
		if leads.Load() {
			return nil
		}
		return replaced
	}), time.Minute, quiet()).(*patient)
	st.first = time.Millisecond
	written := make(chan error, 3)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		_, err := st.Put(ctx, "log", &again{data: []byte("the former one's")}, 16, "")
		written <- err
	}()
	go func() {
		_, err := st.PutIfAbsent(ctx, "new", bytes.NewReader([]byte("the former one's")), 16, "")
		written <- err
	}()
	go func() { written <- st.Delete(ctx, "log") }()
	for range 20 {
		<-tried
	}
	cancel()
	for range 3 {
		if err := <-written; !errors.Is(err, replaced) {
			t.Errorf("it was told %v", err)
		}
	}
	if infos, err := local.List(t.Context(), ""); err != nil || len(infos) != 1 || infos[0].Size != int64(len("the leader's")) {
		t.Errorf("the Store has %v, %v", infos, err)
	}
	leads.Store(true)
	if _, err := st.Put(t.Context(), "log", &again{data: []byte("once more")}, 9, ""); err != nil {
		t.Error(err)
	}
}
