package worker

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/ddpm-cluster/ddpm-cluster/allreduce"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm"
	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
)

// checkGroups refuses an assignment that cuts groups as nobody may: a member has whole ones
// and no seat, or part of one and a seat there.
func checkGroups(spec ddpm.Spec, a *ddpmv1.Assignment) error {
	self := memberAt(a.GetGeneration().GetMembers(), int64(a.GetRank()))
	seat := self.GetSeat()
	wrong := func(format string, args ...any) error {
		return fmt.Errorf("generation %d %s; use the same version on both sides", a.GetGeneration().GetNumber(), fmt.Sprintf(format, args...))
	}
	if spec.Local.Groups == 0 {
		if seat != nil {
			return wrong("seats this worker in a group, and the run has none")
		}
		return nil
	}
	if len(self.GetKept()) > 0 {
		return wrong("has this worker keep shards of a step, which a run with groups never does")
	}
	size := uint32(spec.Shards() / spec.Local.Groups)
	first, n := self.GetFirstShard(), self.GetShards()
	switch {
	case seat == nil && (first%size != 0 || n%size != 0) && n > 0:
		return wrong("gives this worker %d shards from %d alone, with groups of %d", n, first, size)
	case seat != nil && (n == 0 || first/size != (first+n-1)/size):
		return wrong("gives this worker %d shards from %d with others, with groups of %d", n, first, size)
	}
	return nil
}

// checkSeat refuses a seat that no ring has, or whose next member is not named.
func checkSeat(members []*ddpmv1.Member, self *ddpmv1.Member) error {
	s := self.GetSeat()
	switch {
	case s == nil:
		return nil
	case s.GetSize() < 2 || s.GetPlace() >= s.GetSize():
		return fmt.Errorf("seats this worker at place %d of %d in its group", s.GetPlace(), s.GetSize())
	case s.GetNext() == self.GetRank() || memberAt(members, int64(s.GetNext())) == nil:
		return fmt.Errorf("does not name rank %d, to which place %d of %d in a group links", s.GetNext(), s.GetPlace(), s.GetSize())
	}
	return nil
}

// groupMember is who the worker is in its group's ring, where it has a seat there.
func (g *generation) groupMember(outer allreduce.Member) allreduce.Member {
	outer.Rank, outer.World = int(g.self.GetSeat().GetPlace()), int(g.self.GetSeat().GetSize())
	return outer
}

// groupRing makes the ring of the worker's group, nil where it has no seat there.
func (g *generation) groupRing(links links, m *meter, cfg allreduce.Config, log *slog.Logger) (*allreduce.Ring, error) {
	if links.group == nil {
		return nil, nil
	}
	log.Debug("summing in a group", "place", g.self.GetSeat().GetPlace(), "of", g.self.GetSeat().GetSize())
	return allreduce.NewRing(allreduce.Config{Member: g.groupMember(cfg.Member), BucketElems: cfg.BucketElems}, metered{links.group, m, false})
}

// inGroup is an error of the group's ring, for which its successor there answers.
func (g *generation) inGroup(err error) error {
	if errors.As(err, new(*allreduce.PartnerError)) {
		return err
	}
	return allreduce.Blame(int(g.self.GetSeat().GetNext()), err)
}

// joined says that the generation has all that its local steps need. It is called under
// the trainer's mu.
func (g *generation) joined() bool { return g.self.GetSeat() == nil || g.inner != nil }

// broken is closed when a ring breaks; nil where there is none.
func broken(ring *allreduce.Ring) <-chan struct{} {
	if ring == nil {
		return nil
	}
	return ring.Broken()
}

// closeRings closes those that are there.
func closeRings(cause error, rings ...*allreduce.Ring) (err error) {
	for _, r := range rings {
		if r != nil {
			err = errors.Join(err, r.Close(cause))
		}
	}
	return err
}
