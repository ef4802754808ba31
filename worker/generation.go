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

	"golang.org/x/sync/errgroup"
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
	// next is the member that this one sends to in the ring; partners are those that it
	// exchanges with where buckets of up to so many elements go by halving, by rank.
	next         *ddpmv1.Member
	halvingElems int
	partners     map[int]*ddpmv1.Member

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
	partners, err := partnersOf(a, members, int(rank), int(size))
	if err != nil {
		return nil, wrong("%v", err)
	}
	g := &generation{
		partners: partners, halvingElems: int(min(a.GetGeneration().GetHalvingElems(), math.MaxInt32)),
		assignment: a, number: a.GetGeneration().GetNumber(), rank: int(rank), size: int(size), self: self, next: next, group: group,
		parted: departure{unreachable: -1},
	}
	g.ctx, g.cancel = context.WithCancelCause(ctx)
	return g, nil
}

// partnersOf are the partners of a member, by rank, where it has use for any.
func partnersOf(a *ddpmv1.Assignment, members []*ddpmv1.Member, rank, size int) (map[int]*ddpmv1.Member, error) {
	partners := map[int]*ddpmv1.Member{}
	if a.GetGeneration().GetHalvingElems() == 0 || size == 1 {
		return partners, nil
	}
	for _, partner := range allreduce.Partners(size, rank) {
		m := memberAt(members, int64(partner))
		if m == nil {
			return nil, fmt.Errorf("does not name partner %d of rank %d of %d", partner, rank, size)
		}
		partners[partner] = m
	}
	return partners, nil
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

// connect links up with both neighbours, and with the partners and, where all members are
// reached at one host, shares memory with all of them.
func (g *generation) connect(tag allreduce.RunTag, server *allreduce.Server, m *meter, cfg allreduce.Config, log *slog.Logger) (*allreduce.Ring, error) {
	ctx, cancel := context.WithTimeoutCause(g.ctx, linkPatience, fmt.Errorf("not linked up within %v", linkPatience))
	defer cancel()
	cfg.Member = allreduce.Member{Run: tag, Generation: g.number, Rank: g.rank, World: g.size}
	link, partners, err := g.links(ctx, server, cfg.Member)
	if err != nil {
		return nil, err
	}
	if link != nil { // a ring of one has none
		m.connected(allreduce.RoundTrip(link))
		link = metered{link, m, true}
	}
	for i, l := range partners {
		partners[i] = metered{l, m, false}
	}
	if len(partners) > 0 {
		cfg.HalvingElems = g.halvingElems
		log.Debug("halving small buckets", "elements", g.halvingElems, "partners", len(partners))
	}
	ring, err := allreduce.NewRing(cfg, link, partners...)
	if err != nil || !g.assignment.GetGeneration().GetOneHost() {
		return ring, err
	}
	switch err := ring.Share(ctx); {
	case errors.Is(err, allreduce.ErrApart):
		log.Debug("all members are at one host, and reduce by messages all the same", "reason", err.Error())
	case err != nil:
		return nil, errors.Join(err, ring.Close(err))
	default:
		log.Debug("reducing through shared memory", "members", g.size)
	}
	return ring, nil
}

// links makes the ring's, and those of the partners.
func (g *generation) links(ctx context.Context, server *allreduce.Server, member allreduce.Member) (link allreduce.Link, partners []allreduce.Link, err error) {
	both, gctx := errgroup.WithContext(ctx)
	both.Go(func() (err error) {
		link, err = allreduce.Connect(gctx, server, member, g.next.GetRingAddress(), g.credentials(g.next))
		return err
	})
	if len(g.partners) > 0 {
		both.Go(func() (err error) {
			partners, err = allreduce.ConnectPartners(gctx, server, member, func(rank int) (string, []grpc.DialOption) {
				return g.partners[rank].GetRingAddress(), []grpc.DialOption{g.credentials(g.partners[rank])}
			})
			return err
		})
	}
	if err := both.Wait(); err != nil {
		for _, l := range append(partners, link) {
			if l != nil {
				_ = l.Close(err) // the cause is what the others have to know
			}
		}
		return nil, nil, err
	}
	return link, partners, nil
}

func (g *generation) credentials(m *ddpmv1.Member) grpc.DialOption {
	return grpc.WithTransportCredentials(g.security(m.GetWorkerId()))
}

// close ends what the generation has under way. Without a cause the successor is
// given time to take what was sent, beside whatever comes next.
func (g *generation) close(ring *allreduce.Ring, cause error) {
	if cause == nil {
		g.group.Go(func() {
			if ring != nil {
				_ = ring.Close(nil) // who is late has what it needs from others
			}
			g.cancel(errLeft)
		})
		return
	}
	g.cancel(cause)
	if ring != nil {
		_ = ring.Close(cause) // the cause is what the neighbours have to know
	}
}

// begin makes the links of a generation, beside the loop that catches up. One that
// idles has none: a member that is done must not end another's catching up.
func (l *life) begin(g *generation) {
	if g.idles() {
		return
	}
	l.generations.Go(func() {
		ring, err := g.connect(l.tag, l.ring.links, &l.trainer.meter, allreduce.Config{BucketElems: l.bucketElems, Private: l.config.Private}, l.log)
		if err != nil {
			d := l.trainer.broke(g, err)
			if errors.Is(err, allreduce.ErrUnreachable) {
				d.broke += "; see that the workers reach each other at the addresses that they advertise (--advertise)"
			}
			l.trainer.leave(g, d)
			return
		}
		if !l.trainer.linked(g, ring) {
			_ = ring.Close(context.Cause(g.ctx))
			return
		}
		select {
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
