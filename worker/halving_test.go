package worker

import (
	"fmt"
	"testing"
	"time"

	"github.com/ddpm-cluster/ddpm-cluster/allreduce"
	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
)

// halving makes the buckets of up to so many elements go by halving.
func (c *cluster) halving(elems uint64) {
	c.onAssign = func(a *ddpmv1.Assignment) { a.Generation.HalvingElems = elems }
}

// Whichever way buckets go, the weights are those of a quiet worker.
func TestHalvingTrainsToTheSameBits(t *testing.T) {
	want := newCluster(t, 1).quiet(t)
	for _, workers := range []int{2, 5, 8} {
		for _, buckets := range []int{200, 1 << 20} {
			for _, elems := range []uint64{150, 1 << 20} {
				t.Run(fmt.Sprintf("%d/%d/%d", workers, buckets, elems), func(t *testing.T) {
					c := newCluster(t, workers)
					c.bucketElems = buckets
					c.halving(elems)
					if _, digest := c.train(t); digest != want {
						t.Errorf("digest %s, want %s", digest, want)
					}
				})
			}
		}
	}
}

// Members that may share memory do, and those that won't halve.
func TestHalvingAndSharedMemory(t *testing.T) {
	want := newCluster(t, 1).quiet(t)
	for _, private := range []int{0, 1} {
		c := newCluster(t, 5)
		c.perHost, c.private, c.bucketElems = 99, private, 300
		c.halving(1 << 20)
		if _, digest := c.train(t); digest != want {
			t.Errorf("%d private: digest %s, want %s", private, digest, want)
		}
	}
}

// A member that is killed is gone from its ring and its partners: those that stay notice
// it and go on to the same bits.
func TestLostPartner(t *testing.T) {
	c := newCluster(t, 6)
	c.bucketElems = 300
	c.halving(1 << 20)
	leaveOne(t, c, 4)
}

// Members that share memory notice it by their links.
func TestLostMemberOfOneHost(t *testing.T) {
	c := newCluster(t, 4)
	c.perHost = 99
	leaveOne(t, c, 2)
}

// Of members at several hosts all are told at once that one is lost.
func TestLostMemberOfOneOfTheHosts(t *testing.T) {
	for _, member := range []int{0, 2, 4} {
		c := newCluster(t, 5)
		c.perHost = 2
		leaveOne(t, c, member)
	}
}

// A member that is not told of a partner says so.
func TestUnnamedPartner(t *testing.T) {
	var members []*ddpmv1.Member
	for rank := range 8 {
		if rank != 4 {
			members = append(members, &ddpmv1.Member{WorkerId: fmt.Sprint(rank), Rank: uint32(rank)})
		}
	}
	a := &ddpmv1.Assignment{Generation: &ddpmv1.Generation{Size: 8, Members: members}}
	if _, err := othersOf(a, members, nil, 0, 8); err != nil {
		t.Errorf("round the ring: %v", err)
	}
	a.Generation.HalvingElems = 1
	if _, err := othersOf(a, members, nil, 0, 8); err == nil {
		t.Error("a partner that is not named is not missed")
	}
	if p, err := othersOf(a, members, nil, 1, 8); err != nil || len(p) != 3 {
		t.Errorf("rank 1 has partners %v (%v)", p, err)
	}
	a.Generation.HalvingElems = 0
	if _, err := othersOf(a, members, allreduce.Hosts{4, 4}, 0, 8); err == nil {
		t.Error("the next one in the lane that is not named is not missed")
	}
	if p, err := othersOf(a, members, allreduce.Hosts{4, 4}, 1, 8); err != nil || len(p) != 1 || p[5].GetRank() != 5 {
		t.Errorf("rank 1 has in its lane %v (%v)", p, err)
	}
	a.Generation.HostSizes = []uint32{4, 5}
	if _, err := hostsOf(a); err == nil {
		t.Error("9 members at hosts of a ring of 8")
	}
}

// What was sent, and how long that took, tell the link's bandwidth where it was enough.
func TestMeterTellsTheLink(t *testing.T) {
	tr := new(trainer)
	send := func(bytes uint64, took time.Duration) {
		tr.meter.linkSent.Add(bytes)
		tr.meter.sending.Add(uint64(took))
		tr.measured(bytes, took)
	}
	send(toldApart-1, time.Second)
	if tr.meter.bandwidth != 0 {
		t.Errorf("%f bytes/s by too few", tr.meter.bandwidth)
	}
	send(8<<20, time.Second/2)
	if tr.meter.bandwidth != 16<<20 {
		t.Errorf("%f bytes/s", tr.meter.bandwidth)
	}
	tr.meter.connected(200 * time.Microsecond)
	tr.meter.connected(0)
	if h := tr.heartbeat(); h.GetLinkLatencySeconds() != 100e-6 || h.GetLinkBytesPerSecond() != 16<<20 {
		t.Errorf("it tells %v", h)
	}
}
