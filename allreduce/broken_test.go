package allreduce

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"
)

// A rank that computes, and does not receive, knows of a broken ring all the same;
// one that its predecessor leaves in peace may go on.
func TestBroken(t *testing.T) {
	rings := newRings(t, Config{}, newCluster(t, 3).connect(t, 7, insecureCredentials()))
	select {
	case <-rings[1].Broken():
		t.Error("a new ring is broken")
	default:
	}
	if err := rings[0].Close(errors.New("a test")); err != nil {
		t.Error(err)
	}
	ctx := testContext(t)
	for _, rank := range []int{0, 1} { // rank 2 hears of it when rank 1 has closed its end
		select {
		case <-rings[rank].Broken():
		case <-ctx.Done():
			t.Errorf("rank %d does not notice", rank)
		}
	}
	alone, err := NewRing(Config{Member: Member{Run: testRun, Generation: 7, World: 1}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if alone.Broken() != nil {
		t.Error("a ring of one can break")
	}
}

func TestBrokenInMemory(t *testing.T) {
	links := NewMemoryRing(2)
	if err := links[0].Close(errors.New("a test")); err != nil {
		t.Error(err)
	}
	<-links[1].Broken()
}

func TestUnreachable(t *testing.T) {
	c := newCluster(t, 2)
	within := func(d time.Duration) context.Context {
		ctx, cancel := context.WithTimeout(testContext(t), d)
		t.Cleanup(cancel)
		return ctx
	}
	nobody := dialer(func(context.Context, string) (net.Conn, error) { return nil, errors.New("nobody there") })
	_, err := Connect(within(200*time.Millisecond), c.servers[0], c.member(7, 0), c.addresses[1], insecureCredentials(), nobody)
	if !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "nobody there") {
		t.Errorf("nobody there: %v", err)
	}
	// Rank 1 is there, and not yet in this generation.
	reached := make(chan struct{}, 1)
	watched := dialer(func(ctx context.Context, address string) (net.Conn, error) {
		conn, err := dialTCP(ctx, address)
		if err == nil {
			reached <- struct{}{}
		}
		return conn, err
	})
	_, err = Connect(within(2*time.Second), c.servers[0], c.member(8, 0), c.addresses[1], insecureCredentials(), watched)
	if err == nil || errors.Is(err, ErrUnreachable) {
		t.Errorf("a rank that is there, and waits: %v", err)
	}
	<-reached
}
