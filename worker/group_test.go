package worker

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ddpm-cluster/ddpm-cluster/allreduce"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/dataset"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/kernel"
	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
)

// dealGroups deals groups in place of shards, as evenly as can be.
func (f *fake) dealGroups(g *ddpmv1.Generation) {
	spec, members := f.cluster.spec, g.GetMembers()
	groups, n := spec.Local.Groups, len(members)
	size := spec.Shards() / groups
	for r, m := range members {
		if len(m.GetKept()) > 0 {
			f.t.Errorf("worker %s holds shards %v, and a run with groups keeps none", m.GetWorkerId(), m.GetKept())
		}
		m.Kept, m.Extra, m.Seat = nil, nil, nil
		lo, hi := r*groups/n*size, (r+1)*groups/n*size
		if n > groups {
			group := r * groups / n
			first, last := (group*n+groups-1)/groups, ((group+1)*n+groups-1)/groups
			count := min(last-first, size) // the others compute nothing
			lo, hi = group*size+min(r-first, count)*size/count, group*size+min(r-first+1, count)*size/count
			if r-first < count && count > 1 {
				m.Seat = &ddpmv1.Seat{Place: uint32(r - first), Size: uint32(count), Next: uint32(first + (r-first+1)%count)}
			}
		}
		m.FirstShard, m.Shards = uint32(lo), uint32(hi-lo)
		for s := lo; s < hi; s++ {
			m.Extra = append(m.Extra, uint32(s))
		}
	}
}

// inGroups is a cluster whose shards are in so many groups, with three local steps.
func inGroups(t *testing.T, workers, groups int) *cluster {
	t.Helper()
	return newCluster(t, workers, func(s *ddpm.Spec) {
		s.Local = ddpm.Local{Steps: 3, OuterRate: ddpm.DefaultOuterRate, OuterMomentum: ddpm.DefaultOuterMomentum}
		*s = s.WithGroups(groups)
	})
}

// Whoever computes a group's shards, one worker or several, the bits are the same.
func TestGroupsHaveTheSameBits(t *testing.T) {
	digests := map[string]int{}
	for _, groups := range []int{1, 2, 4} {
		_, want := inGroups(t, 1, groups).train(t)
		digests[want] = groups
		for workers := 2; workers <= 5; workers++ {
			t.Run(fmt.Sprintf("%d groups, %d workers", groups, workers), func(t *testing.T) {
				c := inGroups(t, workers, groups)
				c.bucketElems = 1000
				f, got := c.train(t)
				if got != want {
					t.Errorf("digest %s, one worker has %s", got, want)
				}
				if ring := workers > groups; c.log.contains("summing in a group") != ring {
					t.Errorf("summing in a group: %v, want %v", !ring, ring)
				}
				for _, p := range f.progress {
					if p.GetSkipped() || !(p.GetLoss() > 0) {
						t.Errorf("step %d: loss %v, skipped %v", p.GetStep(), p.GetLoss(), p.GetSkipped())
					}
				}
			})
		}
	}
	_, alone := inGroups(t, 1, 8).train(t) // a group for each shard is no group
	digests[alone] = 8
	if len(digests) != 4 {
		t.Errorf("the number of groups changes nothing: %v", digests)
	}
	if _, got := inGroups(t, 3, 0).train(t); got != alone {
		t.Errorf("without groups %s, with one for each shard %s", got, alone)
	}
}

// A worker's end within local steps, whoever shares its group, costs the others the step
// that they have begun, and no bits.
func TestAWorkerOfAGroupIsLost(t *testing.T) {
	for _, workers := range []int{2, 4} {
		_, want := inGroups(t, 1, 2).train(t)
		t.Run(fmt.Sprintf("%d workers", workers), func(t *testing.T) {
			c := inGroups(t, workers, 2)
			var computed atomic.Int32
			c.devices = func(i int) deviceMaker {
				if i != 0 {
					return newFakeDevice
				}
				return spoil(func(shard []ddpm.Example, _ []float32) (float64, error) {
					if computed.Add(1) > 11 { // within the second step
						return 0, errors.New("a broken device")
					}
					return lossOf(shard), nil
				})
			}
			f, errs := c.run(t.Context(), t)
			failed := 0
			for _, err := range errs {
				if err != nil {
					failed++
					if !strings.Contains(err.Error(), "a broken device") {
						t.Errorf("a worker ended: %v", err)
					}
				}
			}
			if got := f.digest(c.steps); got != want || failed != 1 {
				t.Errorf("digest %s, one quiet worker has %s; %d workers failed", got, want, failed)
			}
		})
	}
}

// lossOf is what a fakeDevice says of a shard.
func lossOf(shard []ddpm.Example) float64 {
	loss := 0.0
	for _, ex := range shard {
		loss += float64((uint64(ex.T)*31+ex.Index*7+uint64(ex.Slot))%97) / 97
	}
	return loss / float64(len(shard))
}

// Workers that are halted within local steps stop there, also where others of their group
// wait for them, and begin the step anew.
func TestGroupsAreHalted(t *testing.T) {
	_, want := inGroups(t, 1, 2).train(t)
	c := inGroups(t, 4, 2)
	release := make(chan struct{})
	var seen atomic.Int32
	reached := make(chan struct{})
	c.devices = func(i int) deviceMaker {
		if i != 0 {
			return newFakeDevice
		}
		return func(ddpm.Spec, dataset.Dataset, *kernel.Pool) ddpm.Device {
			return &fakeDevice{between: func([]ddpm.Example) {
				if seen.Add(1) == 10 {
					close(reached)
					<-release
				}
			}}
		}
	}
	halted := false
	c.onMessage = func(f *fake, _ *peer, m *ddpmv1.WorkerMessage) bool {
		if m.GetHeartbeat() == nil || halted {
			return false
		}
		select {
		case <-reached:
			halted = true
			f.halt()
			time.AfterFunc(50*time.Millisecond, func() { close(release) })
		default:
		}
		return false
	}
	f, got := c.train(t)
	if got != want || !halted || f.generation.GetNumber() == fakeGeneration {
		t.Errorf("digest %s, one quiet worker has %s; halted %v, generation %d", got, want, halted, f.generation.GetNumber())
	}
}

// Workers that join and leave change groups at a step's end.
func TestGroupsChange(t *testing.T) {
	_, want := inGroups(t, 1, 2).train(t)
	c := inGroups(t, 2, 2)
	c.late = 2
	c.onMessage = func(_ *fake, _ *peer, m *ddpmv1.WorkerMessage) bool {
		if p := m.GetProgress(); p != nil && p.GetStep() == 1 {
			close(c.begin)
		}
		if p := m.GetProgress(); p != nil && p.GetStep() < c.steps {
			time.Sleep(20 * time.Millisecond)
		}
		return false
	}
	c.devices = func(int) deviceMaker {
		return func(ddpm.Spec, dataset.Dataset, *kernel.Pool) ddpm.Device {
			return &fakeDevice{between: func([]ddpm.Example) { time.Sleep(time.Millisecond) }}
		}
	}
	if _, got := c.train(t); got != want {
		t.Errorf("digest %s, one quiet worker has %s", got, want)
	}
}

// A value that does not fit in a local step of one shard is the same skip for all, also for
// those of other groups.
func TestOverflowInAGroup(t *testing.T) {
	spoiled := spoil(func(shard []ddpm.Example, grad []float32) (float64, error) {
		if shard[0].Slot == 0 && shard[0].Index%3 == 0 {
			grad[7] = float32(math.Inf(1))
		}
		return lossOf(shard), nil
	})
	var want string
	var skipped int
	for workers := 1; workers <= 4; workers++ {
		c := inGroups(t, workers, 2)
		c.steps, c.device = 6, spoiled
		f, got := c.train(t)
		n := 0
		for _, p := range f.progress {
			if p.GetSkipped() {
				n++
			}
		}
		if workers == 1 {
			want, skipped = got, n
			if n == 0 || n == int(c.steps) || len(f.overflows) == 0 || f.overflows[0].GetTensor() == "the loss" {
				t.Fatalf("%d of %d steps were skipped, overflows %v", n, c.steps, f.overflows)
			}
		}
		if got != want || n != skipped {
			t.Errorf("%d workers: digest %s after %d skips, one worker has %s after %d", workers, got, n, want, skipped)
		}
	}
}

// An assignment that cuts groups otherwise is refused.
func TestWrongSeats(t *testing.T) {
	spec := inGroups(t, 1, 2).spec // eight shards
	seat := &ddpmv1.Seat{Place: 0, Size: 2, Next: 1}
	for want, m := range map[string]*ddpmv1.Member{
		"":                               {FirstShard: 0, Shards: 8},
		"8 shards from 0 with others":    {FirstShard: 0, Shards: 8, Seat: seat},
		"3 shards from 0 alone":          {FirstShard: 0, Shards: 3},
		"4 shards from 2 with others":    {FirstShard: 2, Shards: 4, Seat: seat},
		"0 shards from 0 with others":    {Seat: seat},
		"keep shards":                    {FirstShard: 0, Shards: 4, Kept: []uint32{1}},
		"place 2 of 2":                   {FirstShard: 0, Shards: 2, Seat: &ddpmv1.Seat{Place: 2, Size: 2, Next: 1}},
		"does not name rank 7, to which": {FirstShard: 0, Shards: 2, Seat: &ddpmv1.Seat{Place: 0, Size: 2, Next: 7}},
		"does not name rank 0, to which": {FirstShard: 0, Shards: 2, Seat: &ddpmv1.Seat{Place: 0, Size: 2, Next: 0}},
	} {
		m.WorkerId = "w0"
		a := &ddpmv1.Assignment{Generation: &ddpmv1.Generation{Number: 3, Size: 2, Members: []*ddpmv1.Member{m, {WorkerId: "w1", Rank: 1}}}}
		_, err := newGeneration(t.Context(), "w0", spec.Shards(), a, nil)
		err = errors.Join(err, checkGroups(spec, a))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%v: %v, want %q", m, err, want)
		}
	}
	a := &ddpmv1.Assignment{Generation: &ddpmv1.Generation{Size: 1, Members: []*ddpmv1.Member{{Seat: seat}}}}
	spec.Local.Groups = 0
	if err := checkGroups(spec, a); err == nil || !strings.Contains(err.Error(), "the run has none") {
		t.Errorf("a seat in a run without groups: %v", err)
	}
}

// A group's link that fails blames whoever is next there, by the rank in the generation.
func TestWhomAGroupBlames(t *testing.T) {
	g := &generation{
		rank: 1, size: 4, next: &ddpmv1.Member{WorkerId: "w2"}, self: &ddpmv1.Member{Seat: &ddpmv1.Seat{Place: 1, Size: 2}},
		others: map[int]*ddpmv1.Member{0: {WorkerId: "w0"}},
	}
	tr := &trainer{}
	for i, v := range []struct {
		err  error
		want int
	}{
		{allreduce.ErrLost, 0}, {allreduce.ErrLost, -1}, // once in a step: it may be the load
		{allreduce.ErrUnreachable, 0}, {errors.New("it broke the link"), -1},
	} {
		if d := tr.broke(g, g.inGroup(fmt.Errorf("a link: %w", v.err))); d.unreachable != v.want || d.broke == "" {
			t.Errorf("case %d, %v: rank %d is blamed, want %d", i, v.err, d.unreachable, v.want)
		}
	}
}
