package allreduce

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

// Groups of a generation's members have rings of their own beside its ring, by the same
// servers.
func TestRingsWithinGroups(t *testing.T) {
	const world, size = 4, 2
	c := newCluster(t, world)
	outer := newRings(t, Config{}, c.connect(t, 7, insecureCredentials()))
	inner, links := make([]*Ring, world), make([]Link, world)
	ctx := testContext(t)
	seat := func(rank int) Member {
		m := c.member(7, rank)
		m.Rank, m.World = rank%size, size
		return m
	}
	each(world, func(rank int) {
		var err error
		next := rank/size*size + (rank+1)%size
		if links[rank], err = ConnectGroup(ctx, c.servers[rank], seat(rank), c.addresses[next], insecureCredentials()); err != nil {
			t.Error(err)
		}
	})
	if t.Failed() {
		t.FailNow()
	}
	for rank := range inner {
		var err error
		if inner[rank], err = NewRing(Config{Member: seat(rank)}, links[rank]); err != nil {
			t.Fatal(err)
		}
	}
	vs := randomVectors(newRand(t), world, 500, 3)
	each(world, func(rank int) {
		before := slices.Clone(vs[rank].Tail)
		if err := inner[rank].AllReduce(ctx, 41, vs[rank]); err != nil {
			t.Errorf("rank %d: %v", rank, err)
		}
		if slices.Equal(before, vs[rank].Tail) {
			t.Errorf("rank %d: the tail is its own", rank)
		}
	})
	for rank := 0; rank < world; rank += size {
		if !slices.Equal(vs[rank].Out, vs[rank+1].Out) || slices.Equal(vs[rank].Out, vs[(rank+size)%world].Out) {
			t.Errorf("rank %d has not the result of its group, or that of another", rank)
		}
	}
	each(world, func(rank int) {
		if err := outer[rank].AllReduce(ctx, 5, vs[rank]); err != nil {
			t.Errorf("rank %d, after its group: %v", rank, err)
		}
	})
	// One group's end is not another's.
	if err := inner[0].Close(errCut); err != nil {
		t.Error(err)
	}
	<-inner[1].Broken()
	select {
	case <-inner[2].Broken():
		t.Errorf("another group is broken: %v", inner[2].Cause())
	default:
	}
	each(2, func(i int) {
		if err := inner[2+i].AllReduce(ctx, 42, vs[2+i]); err != nil {
			t.Errorf("another group: %v", err)
		}
	})
	each(world, func(rank int) { _ = inner[rank].Close(nil) })
}

// A group's link is of its generation and its neighbour alone, and a group of one has none.
func TestGroupTakesItsNeighbourAlone(t *testing.T) {
	c := newCluster(t, 2)
	ctx := testContext(t)
	alone := c.member(7, 0)
	alone.World = 1
	if l, err := ConnectGroup(ctx, c.servers[0], alone, ""); l != nil || err != nil {
		t.Errorf("a group of one: %v, %v", l, err)
	}
	links := make([]Link, 2)
	each(2, func(rank int) {
		var err error
		if links[rank], err = ConnectGroup(ctx, c.servers[rank], c.member(7, rank), c.addresses[1-rank], insecureCredentials()); err != nil {
			t.Error(err)
		}
	})
	defer each(2, func(rank int) { _ = links[rank].Close(nil) })
	if _, err := ConnectGroup(ctx, c.servers[0], c.member(6, 0), c.addresses[1], insecureCredentials()); !errors.Is(err, ErrFenced) {
		t.Errorf("an older generation: %v", err)
	}
	var p *PartnerError
	err := Blame(3, ErrLost)
	if !errors.As(err, &p) || p.Rank != 3 || !errors.Is(err, ErrLost) || !strings.Contains(err.Error(), ErrLost.Error()) {
		t.Errorf("%v blames %v", err, p)
	}
}
