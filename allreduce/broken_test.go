package allreduce

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
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

// A rank that neither sends nor receives knows when the connection to its successor
// fails, and whom it lost.
func TestLostSuccessor(t *testing.T) {
	c := newCluster(t, 2)
	var mu sync.Mutex
	conns := map[string]net.Conn{}
	rings := newRings(t, Config{}, c.connect(t, 7, insecureCredentials(), dialer(func(ctx context.Context, addr string) (net.Conn, error) {
		conn, err := dialTCP(ctx, addr)
		mu.Lock()
		defer mu.Unlock()
		conns[addr] = conn
		return conn, err
	})))
	mu.Lock()
	lost := conns[c.addresses[1]] // from rank 0 to rank 1
	mu.Unlock()
	if err := lost.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-rings[0].Broken():
	case <-testContext(t).Done():
		t.Fatal("rank 0 does not notice")
	}
	if err := rings[0].Cause(); !errors.Is(err, ErrLost) || !strings.Contains(err.Error(), "rank 1") {
		t.Errorf("it broke of %v", err)
	}
}

// An address at which nothing answers is given up by itself; one that refuses is
// not: somebody may listen there yet.
func TestSilence(t *testing.T) {
	var gaveUp error
	p := patientDialer{silent: func(err error) { gaveUp = err }}
	// Of the range for documentation (RFC 5737): nobody has it.
	if conn, err := p.dial(testContext(t), "192.0.2.1:9"); err == nil {
		_ = conn.Close()
		t.Skip("something answers for all addresses here")
	} else if gaveUp == nil {
		t.Skipf("something refuses for all addresses here: %v", err)
	}
	if !errors.Is(gaveUp, ErrUnreachable) || !strings.Contains(gaveUp.Error(), "192.0.2.1:9") {
		t.Errorf("it gives up for %v", gaveUp)
	}
	gaveUp = nil
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	conn, err := p.dial(testContext(t), l.Addr().String())
	if err != nil || gaveUp != nil {
		t.Fatalf("%v, gave up for %v", err, gaveUp)
	}
	_ = conn.Close()
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
