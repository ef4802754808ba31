package worker

import (
	"slices"

	"google.golang.org/protobuf/proto"

	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
)

// available begins when all workers are, and takes in those who come later.
func (f *fake) available(p *peer) {
	p.available, p.position = true, &ddpmv1.Position{Unreachable: -1}
	switch {
	case f.generation != nil:
		f.yield(false)
	case len(f.idle()) == f.cluster.workers:
		f.regroup()
	}
}

// leaving lets a worker go at the next boundary.
func (f *fake) leaving(p *peer) {
	p.leaving = true
	f.yield(true)
}

// yield makes all members leave their ring at a boundary, and stop ends the run there.
func (f *fake) yield(save bool) {
	for _, p := range f.peers {
		if !p.gone {
			p.yield(fakeTerm, f.generation.GetNumber(), save)
		}
	}
}

func (f *fake) stop() {
	f.stopping = true
	f.yield(true)
}

// halt makes all members leave their ring at once.
func (f *fake) halt() {
	for _, p := range f.peers {
		if !p.gone {
			p.halt(fakeTerm, f.generation.GetNumber())
		}
	}
}

func (f *fake) positioned(p *peer, at *ddpmv1.Position) {
	f.positions = append(f.positions, at)
	if p.gone || at.GetGeneration() != f.generation.GetNumber() {
		return
	}
	p.position = at
	f.settle()
}

// idle are the workers that are in no ring.
func (f *fake) idle() []*peer {
	var idle []*peer
	for _, p := range f.peers {
		if p.available && !p.gone && p.position != nil {
			idle = append(idle, p)
		}
	}
	return idle
}

// settle goes on when nobody is in a ring any more.
func (f *fake) settle() {
	for _, p := range f.peers {
		if p.available && !p.gone && p.position == nil {
			return
		}
	}
	if len(f.idle()) == 0 {
		return
	}
	if hook := f.cluster.onSettled; hook != nil && hook(f) {
		return
	}
	f.regroup()
}

// regroup makes the next generation of those who are idle, or ends.
func (f *fake) regroup() {
	idle := f.idle()
	stayers := slices.DeleteFunc(slices.Clone(idle), func(p *peer) bool { return p.leaving })
	step, live := newest(idle)
	if live && step >= f.cluster.steps && behind(idle, step) {
		f.form(step, live, idle, func(g *ddpmv1.Generation) { g.SaveAtStart = true })
		return
	}
	if len(stayers) == 0 || live && (f.stopping || step >= f.cluster.steps) {
		f.end(step)
		return
	}
	for _, p := range idle {
		if p.leaving {
			p.dismiss(true, "it left")
		}
	}
	f.form(step, live, stayers, nil)
}

// newest is the newest step that a worker has the state of, if one has.
func newest(peers []*peer) (step uint64, live bool) {
	for _, p := range peers {
		if p.position.GetHasState() {
			step, live = max(step, p.position.GetStep()), true
		}
	}
	return step, live
}

// behind says that somebody lacks the state of a step.
func behind(peers []*peer, step uint64) bool {
	return slices.ContainsFunc(peers, func(p *peer) bool { return !p.position.GetHasState() || p.position.GetStep() < step })
}

// end dismisses everybody when the checkpoint of the last step is there.
func (f *fake) end(step uint64) {
	if !f.complete(step) {
		return
	}
	for _, p := range f.idle() {
		p.dismiss(true, "complete")
	}
}

// form makes a generation of workers and assigns it.
func (f *fake) form(step uint64, live bool, workers []*peer, bend func(*ddpmv1.Generation)) {
	g := &ddpmv1.Generation{
		Number: max(fakeGeneration, f.generation.GetNumber()+1), StartStep: step, LastStep: f.cluster.steps,
		CheckpointEvery: f.cluster.every, Source: ddpmv1.StateSource_STATE_SOURCE_MEMBERS, Reason: "a test",
	}
	for left := len(workers); left > 0 && f.cluster.perHost > 0 && len(workers) > 1; left -= f.cluster.perHost {
		g.HostSizes = append(g.HostSizes, uint32(min(left, f.cluster.perHost)))
	}
	if !live {
		g.StartStep, g.Source = f.cluster.from, ddpmv1.StateSource_STATE_SOURCE_INITIAL
		if g.StartStep > 0 {
			g.Source = ddpmv1.StateSource_STATE_SOURCE_CHECKPOINT
		}
	}
	f.deal(g, workers)
	if f.cluster.spec.Local.Groups > 0 {
		f.dealGroups(g)
	}
	if bend != nil {
		bend(g)
	}
	f.generation, f.sizes[g.GetNumber()] = g, len(workers)
	for _, p := range workers {
		p.position = nil
	}
	for rank, p := range workers {
		p.assign(f.assignment(g, rank))
	}
}

// deal gives the shards out as evenly as can be, and in the first step those that
// nobody holds.
func (f *fake) deal(g *ddpmv1.Generation, workers []*peer) {
	shards, n := f.cluster.spec.Shards(), len(workers)
	g.Size = uint32(n)
	taken := map[uint32]bool{}
	for r, p := range workers {
		lo, hi := r*shards/n, (r+1)*shards/n
		m := &ddpmv1.Member{
			WorkerId: p.id, Rank: uint32(r), RingAddress: p.hello.GetRingAddress(), FirstShard: uint32(lo), Shards: uint32(hi - lo),
			Lack: ddpmv1.Lack_LACK_NOTHING,
		}
		g.Members = append(g.Members, m)
		if g.GetSource() != ddpmv1.StateSource_STATE_SOURCE_MEMBERS {
			continue
		}
		switch at := p.position; {
		case at.GetHasState() && at.GetStep() == g.GetStartStep():
			m.HasGradient, m.Kept = at.GetHasGradient(), at.GetShards()
		case at.GetHasState() && at.GetStep()+1 == g.GetStartStep():
			m.Lack = ddpmv1.Lack_LACK_GRADIENT
		default:
			m.Lack = ddpmv1.Lack_LACK_STATE
		}
		for _, s := range m.GetKept() {
			taken[s] = true
		}
	}
	for r, m := range g.GetMembers() {
		for s := range uint32(shards) {
			mine := s >= m.GetFirstShard() && s < m.GetFirstShard()+m.GetShards()
			if len(taken) > 0 {
				mine = int(s)%n == r
			}
			if mine && !taken[s] {
				m.Extra = append(m.Extra, s)
			}
		}
	}
}

func (f *fake) assignment(g *ddpmv1.Generation, rank int) *ddpmv1.Assignment {
	a := &ddpmv1.Assignment{Generation: proto.Clone(g).(*ddpmv1.Generation), Rank: uint32(rank)}
	for _, p := range f.progress {
		a.ReportedStep = max(a.ReportedStep, p.GetStep())
	}
	if f.cluster.onAssign != nil {
		f.cluster.onAssign(a)
	}
	return a
}
