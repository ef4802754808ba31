package worker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/ddpm-cluster/ddpm-cluster/allreduce"
	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
)

// generation is the worker's part in one generation.
type generation struct {
	assignment *ddpmv1.Assignment
	number     uint64
	rank, size int
	self       *ddpmv1.Member
	// next is the member that this one sends to in the ring. others are those, by rank, to
	// which it has links besides: its partners where buckets of up to so many elements go by
	// halving, the next one of its lane where hosts share memory, and that of its group where
	// it computes part of one.
	next         *ddpmv1.Member
	halvingElems int
	hosts        allreduce.Hosts
	others       map[int]*ddpmv1.Member

	ctx    context.Context
	cancel context.CancelCauseFunc
	// group are the goroutines that make and close its links.
	group *sync.WaitGroup
	clock stepClock // the loop's
	// security gives the credentials for reaching the worker of a name.
	security func(name string) credentials.TransportCredentials

	// Under the trainer's mu: entered says that the state is at its start, left that
	// it is over for this worker, told that the coordinator was told where the worker
	// stands since, and parted how it left; ring is there once the links are; yields
	// and saves are votes.
	entered, left, told, yields, saves bool
	parted                             departure
	ring                               *allreduce.Ring
	// inner is the ring of the group that it computes part of, nil where it does not.
	inner *allreduce.Ring
}

// linkPatience bounds how long neighbours try to link up.
const linkPatience = 5 * time.Second

// errLeft is what ends what a generation has under way.
var errLeft = errors.New("the worker has left the generation")

// newGeneration checks an assignment: that it is this worker's, and complete.
func newGeneration(ctx context.Context, id string, shards int, a *ddpmv1.Assignment, group *sync.WaitGroup) (*generation, error) {
	wrong := func(format string, args ...any) error {
		return fmt.Errorf("generation %d %s; use the same version on both sides", a.GetGeneration().GetNumber(), fmt.Sprintf(format, args...))
	}
	members, size, rank := a.GetGeneration().GetMembers(), int64(a.GetGeneration().GetSize()), int64(a.GetRank())
	for i, m := range members {
		if int64(m.GetRank()) >= size || i > 0 && m.GetRank() <= members[i-1].GetRank() {
			return nil, wrong("has member %s of %d at rank %d, out of order", m.GetWorkerId(), size, m.GetRank())
		}
	}
	self := memberAt(members, rank)
	if self == nil || self.GetWorkerId() != id {
		return nil, wrong("does not have worker %s at rank %d", id, rank)
	}
	next, before := memberAt(members, (rank+1)%size), memberAt(members, (rank+size-1)%size)
	if next == nil || before == nil {
		return nil, wrong("does not name the neighbours of rank %d of %d", rank, size)
	}
	if self.GetFirstShard() > uint32(shards) || self.GetShards() > uint32(shards)-self.GetFirstShard() {
		return nil, wrong("gives this worker %d shards from %d, of %d", self.GetShards(), self.GetFirstShard(), shards)
	}
	for _, list := range [][]uint32{self.GetKept(), self.GetExtra()} {
		for _, s := range list {
			if s >= uint32(shards) {
				return nil, wrong("gives this worker shard %d of %d", s, shards)
			}
		}
	}
	if a.GetGeneration().GetLastStep() < a.GetGeneration().GetStartStep() {
		return nil, wrong("trains from step %d to %d", a.GetGeneration().GetStartStep(), a.GetGeneration().GetLastStep())
	}
	hosts, err := hostsOf(a)
	if err != nil {
		return nil, wrong("%v", err)
	}
	if err := checkSeat(members, self); err != nil {
		return nil, wrong("%v", err)
	}
	others, err := othersOf(a, members, hosts, int(rank), int(size))
	if err != nil {
		return nil, wrong("%v", err)
	}
	g := &generation{
		others: others, hosts: hosts, halvingElems: int(min(a.GetGeneration().GetHalvingElems(), math.MaxInt32)),
		assignment: a, number: a.GetGeneration().GetNumber(), rank: int(rank), size: int(size), self: self, next: next, group: group,
		parted: departure{unreachable: -1},
	}
	g.ctx, g.cancel = context.WithCancelCause(ctx)
	return g, nil
}

// hostsOf are the hosts of the members, nil where these are not to share memory.
func hostsOf(a *ddpmv1.Assignment) (hosts allreduce.Hosts, err error) {
	for _, n := range a.GetGeneration().GetHostSizes() {
		hosts = append(hosts, int(n))
	}
	if hosts != nil {
		err = hosts.Validate(int(a.GetGeneration().GetSize()))
	}
	return hosts, err
}

// othersOf are those to whom a member has links beside the ring's, by rank.
func othersOf(a *ddpmv1.Assignment, members []*ddpmv1.Member, hosts allreduce.Hosts, rank, size int) (map[int]*ddpmv1.Member, error) {
	var ranks []int
	if a.GetGeneration().GetHalvingElems() > 0 && size > 1 {
		ranks = allreduce.Partners(size, rank)
	}
	if _, next, ok := hosts.LaneNeighbours(rank); ok {
		ranks = append(ranks, next)
	}
	if seat := memberAt(members, int64(rank)).GetSeat(); seat != nil {
		ranks = append(ranks, int(seat.GetNext()))
	}
	others := map[int]*ddpmv1.Member{}
	for _, other := range ranks {
		m := memberAt(members, int64(other))
		if m == nil {
			return nil, fmt.Errorf("does not name rank %d, to which rank %d of %d links", other, rank, size)
		}
		others[other] = m
	}
	return others, nil
}

// memberAt is the one of a rank among members in the order of their ranks, nil if that
// is none of them.
func memberAt(members []*ddpmv1.Member, rank int64) *ddpmv1.Member {
	i, ok := slices.BinarySearchFunc(members, rank, func(m *ddpmv1.Member, rank int64) int { return cmp.Compare(int64(m.GetRank()), rank) })
	if !ok {
		return nil
	}
	return members[i]
}

func (g *generation) startStep() uint64 { return g.assignment.GetGeneration().GetStartStep() }
func (g *generation) lastStep() uint64  { return g.assignment.GetGeneration().GetLastStep() }

// idles says that the members only bring the state to the start, and save it.
func (g *generation) idles() bool { return g.lastStep() == g.startStep() }

// savesAt says that a checkpoint is due after a step.
func (g *generation) savesAt(step uint64) bool {
	every := g.assignment.GetGeneration().GetCheckpointEvery()
	return every > 0 && step%every == 0
}

// connect links up with both neighbours, with the partners, the lane's next and the
// group's, and shares memory with the members of its host. inner is the group's ring, nil
// where there is none.
func (g *generation) connect(tag allreduce.RunTag, server *allreduce.Server, m *meter, cfg allreduce.Config, log *slog.Logger) (ring, inner *allreduce.Ring, err error) {
	ctx, cancel := context.WithTimeoutCause(g.ctx, linkPatience, fmt.Errorf("not linked up within %v", linkPatience))
	defer cancel()
	cfg.Member = allreduce.Member{Run: tag, Generation: g.number, Rank: g.rank, World: g.size}
	links, err := g.links(ctx, server, cfg.Member)
	if err != nil {
		return nil, nil, err
	}
	// Both are made, and own their links then, also when they are refused.
	inner, refused := g.groupRing(links, m, cfg, log)
	ring, err = g.outer(ctx, links, m, cfg, log)
	if err = errors.Join(refused, err); err != nil {
		return nil, nil, errors.Join(err, closeRings(err, ring, inner))
	}
	return ring, inner, nil
}

// outer makes the generation's ring of its links.
func (g *generation) outer(ctx context.Context, links links, m *meter, cfg allreduce.Config, log *slog.Logger) (*allreduce.Ring, error) {
	cfg.Hosts = g.hosts
	if len(links.partners) > 0 {
		cfg.HalvingElems = g.halvingElems
		log.Debug("halving small buckets", "elements", g.halvingElems, "partners", len(links.partners))
	}
	ring, err := allreduce.NewRing(cfg, links.meteredRing(m, g.nextIsNear()), links.meteredOthers(m)...)
	if err != nil || len(g.hosts) == 0 {
		return ring, err
	}
	var apart *allreduce.ApartError
	switch err := ring.Share(ctx); {
	case errors.As(err, &apart):
		if apart.Rank == g.rank {
			m.apart.Store(true)
		}
		log.Debug("members at one host reduce by messages all the same", "reason", err.Error())
	case err != nil:
		return nil, errors.Join(err, ring.Close(err))
	default:
		log.Debug("reducing through shared memory", "members", g.size, "hosts", len(g.hosts))
	}
	return ring, nil
}

func (g *generation) credentials(m *ddpmv1.Member) grpc.DialOption {
	return grpc.WithTransportCredentials(g.security(m.GetWorkerId()))
}

// close ends what the generation has under way, with its rings. Without a cause the
// successor is given time to take what was sent, beside whatever comes next.
func (g *generation) close(cause error, rings ...*allreduce.Ring) {
	if cause == nil {
		g.group.Go(func() {
			_ = closeRings(nil, rings...) // who is late has what it needs from others
			g.cancel(errLeft)
		})
		return
	}
	g.cancel(cause)
	_ = closeRings(cause, rings...) // the cause is what the neighbours have to know
}

// begin makes the links of a generation, beside the loop that catches up. One that
// idles has none: a member that is done must not end another's catching up.
func (l *life) begin(g *generation) {
	if g.idles() {
		return
	}
	l.generations.Go(func() {
		ring, inner, err := g.connect(l.tag, l.ring.links, &l.trainer.meter, allreduce.Config{BucketElems: l.bucketElems, Sums: l.trainer.sums, Private: l.config.Private}, l.log)
		if err != nil {
			d := l.trainer.broke(g, err)
			if errors.Is(err, allreduce.ErrUnreachable) {
				d.broke += "; see that the workers reach each other at the addresses that they advertise (--advertise)"
			}
			l.trainer.leave(g, d)
			return
		}
		if !l.trainer.linked(g, ring, inner) {
			_ = closeRings(context.Cause(g.ctx), ring, inner)
			return
		}
		select {
		case <-broken(inner):
			err := inner.Cause()
			if err == nil {
				err = errors.New("a link of the group broke")
			}
			l.trainer.leave(g, l.trainer.broke(g, g.inGroup(err)))
		case <-ring.Broken():
			// Seen at once, also by a member that is still computing.
			err := ring.Cause()
			if err == nil {
				err = fmt.Errorf("the link from rank %d broke", (g.rank+g.size-1)%g.size)
			}
			l.trainer.leave(g, l.trainer.broke(g, err))
		case <-g.ctx.Done():
		}
	})
}
