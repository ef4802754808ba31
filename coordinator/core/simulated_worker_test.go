package core

import (
	"fmt"
	"slices"
)

// act lets a worker do the next thing that it can do.
func (c *cluster) act(n *node) error {
	switch {
	case !n.connected:
		c.connect(n)
	case len(n.inbox) > 0:
		e := n.inbox[0]
		n.inbox = n.inbox[1:]
		return c.obey(n, e)
	case !n.available:
		n.available = true
		c.say(n, Available{n.id})
	}
	if n.linking {
		return c.link(n)
	}
	if n.inRing {
		return c.train(n)
	}
	return nil
}

// group has groups of shards take local steps, in every fourth life.
func (c *cluster) group(seed uint64) {
	if seed%4 == 0 {
		c.config.Groups = 1 + int(seed/4)%3
		c.config.Shards *= c.config.Groups
	}
}

func (c *cluster) connect(n *node) {
	n.connected, n.inbox = true, nil
	e := Joined{Worker: n.id, Address: n.id + ":1", Version: "v1", Build: "sha256:aaaa"}
	if n.available {
		p := c.position(n)
		e.Resume = &p
	}
	c.say(n, e)
	for _, saved := range n.told {
		c.say(n, saved)
	}
	if n.leaving {
		c.say(n, Leaving{n.id, "it was told to"})
	}
}

// stored tells what became of a node's part. It is told again to a coordinator
// that comes after, which may not have heard.
func (c *cluster) stored(n *node, e Event) {
	c.say(n, e)
	n.told = append(n.told, e)
}

func (c *cluster) position(n *node) Position {
	p := Position{
		Generation: n.generation.Number, Training: (n.inRing || n.linking) && !n.reported,
		HasState: n.hasState, Step: n.step, HasGradient: n.hasGradient,
		Shards: slices.Clone(n.held), Unreachable: -1,
	}
	if c.config.Groups > 0 {
		p.Shards = nil // what it has of a step goes with its generation
	}
	return p
}

// leave takes a node out of its ring and reports where it stands, once.
func (c *cluster) leave(n *node, broke string) { c.leaveOf(n, broke, -1) }

// loses lets a node leave its ring if it does not reach its successor there.
func (c *cluster) loses(n *node) bool {
	members := n.generation.Members
	for rank, member := range members {
		next := members[(rank+1)%len(members)].Worker
		if member.Worker == n.id && (c.cut == [2]string{n.id, next} || c.cut == [2]string{next, n.id}) {
			c.leaveOf(n, "it does not reach its successor", (rank+1)%len(members))
			return true
		}
	}
	return false
}

// leaveOf blames the member of a rank, if that is not negative.
func (c *cluster) leaveOf(n *node, broke string, unreachable int) {
	n.inRing, n.linking = false, false
	if n.reported {
		return
	}
	n.reported = true
	p := c.position(n)
	p.Broke, p.Unreachable = broke, unreachable
	c.say(n, Positioned{n.id, p})
}

func (c *cluster) obey(n *node, effect Effect) error {
	switch e := effect.(type) {
	case Halt:
		if n.generation.Number <= e.Generation {
			c.leave(n, "")
		}
	case Yield:
		if n.generation.Number == e.Generation {
			n.yield, n.save = true, n.save || e.Save
		}
	case Dismiss:
		n.connected = false
		if e.Again {
			return nil // it joins again
		}
		n.alive = false
		delete(c.nodes, n.id)
		delete(c.toMachine, n.id)
	case Assign:
		if e.Generation.Number <= n.generation.Number {
			return fmt.Errorf("%s is assigned generation %d in %d", n.id, e.Generation.Number, n.generation.Number)
		}
		if n.linking || n.inRing {
			return fmt.Errorf("%s is assigned generation %d while it trains", n.id, e.Generation.Number)
		}
		n.generation, n.self = e.Generation, e.Generation.Members[e.Rank]
		n.linking, n.reported, n.yield, n.save = true, false, false, false
	}
	return nil
}

// link brings a node to the start of its generation.
func (c *cluster) link(n *node) error {
	g := n.generation
	if g.Source == FromMembers {
		if n.self.Lack == LackNothing && (!n.hasState || n.step != g.StartStep) {
			return fmt.Errorf("%s lacks the state of step %d, and generation %d does not know", n.id, g.StartStep, g.Number)
		}
		if n.self.Lack != LackNothing && !c.source(n) {
			return c.breaksIfDead(n)
		}
		if n.self.Lack == LackGradient && n.step+1 != g.StartStep {
			return fmt.Errorf("%s is at step %d, and takes the gradient of step %d", n.id, n.step, g.StartStep)
		}
	}
	if n.hasState && n.step > g.StartStep && g.Source == FromMembers {
		return fmt.Errorf("%s goes back from step %d to %d", n.id, n.step, g.StartStep)
	}
	lack := n.self.Lack
	if g.Source != FromMembers {
		lack = LackState
	}
	if lack != LackNothing {
		n.held = nil
		n.hasGradient = lack == LackGradient
	}
	if c.loses(n) {
		return nil
	}
	n.hasState, n.step = true, g.StartStep
	if !slices.Equal(n.held, n.self.Kept) {
		if len(n.self.Kept) > 0 {
			return fmt.Errorf("%s holds %v of step %d and keeps %v", n.id, n.held, n.step, n.self.Kept)
		}
		n.held = nil
	}
	n.held = append(slices.Clone(n.held), n.self.Extra...)
	if c.config.Groups > 0 && !slices.Equal(n.held, n.self.all()) {
		return fmt.Errorf("%s begins generation %d with shards %v, and has %v of each step", n.id, g.Number, n.held, n.self.all())
	}
	n.linking, n.inRing, n.brought = false, true, false
	if g.SaveAtStart {
		c.stored(n, Saved{Worker: n.id, Generation: g.Number, Step: n.step, Digest: fmt.Sprint(n.step)})
	}
	if g.LastStep <= g.StartStep {
		n.held = nil
		c.leave(n, "")
		return nil
	}
	c.say(n, Ready{n.id, g.Number})
	return nil
}

// source says that another member has what a node lacks.
func (c *cluster) source(n *node) bool {
	for _, member := range n.generation.Members {
		o := c.nodes[member.Worker]
		if o != nil && o.alive && o.hasState && o.step == n.generation.StartStep && (n.self.Lack != LackGradient || o.hasGradient) {
			return true
		}
	}
	return false
}

// breaksIfDead lets a node notice that a member of its ring is gone.
func (c *cluster) breaksIfDead(n *node) error {
	for _, member := range n.generation.Members {
		o := c.nodes[member.Worker]
		if o == nil || o.generation.Number > n.generation.Number || o.generation.Number == n.generation.Number && o.reported {
			c.leave(n, "a link broke")
			return nil
		}
	}
	return nil
}

// train lets a node bring its sums to the ring, or take the result from it.
func (c *cluster) train(n *node) error {
	g := n.generation
	key := [2]uint64{g.Number, n.step}
	if !n.brought {
		if c.contributed[key] == nil {
			c.contributed[key] = map[string][]int{}
		}
		c.contributed[key][n.id] = n.held
		n.brought = true
		return nil
	}
	ring := c.contributed[key]
	if len(ring) < len(g.Members) {
		if c.loses(n) {
			return nil
		}
		return c.breaksIfDead(n)
	}
	if c.random.IntN(3) == 0 { // what is on its way from a member that is gone may be lost
		return c.breaksIfDead(n)
	}
	var all []int
	for _, held := range ring {
		all = append(all, held...)
	}
	slices.Sort(all)
	for i := range max(len(all), c.config.Shards) {
		if i >= len(all) || all[i] != i {
			return fmt.Errorf("step %d of generation %d has shards %v of %d", n.step, g.Number, all, c.config.Shards)
		}
	}
	n.step++
	n.hasGradient, n.brought, n.held = true, false, nil
	c.say(n, Progressed{Step: n.step})
	last := n.step >= g.LastStep
	// The votes travel in the ring: all members see the same ones.
	yield, save := c.votes(key)
	if last || save || g.CheckpointEvery > 0 && n.step%g.CheckpointEvery == 0 {
		if !c.quiet && c.random.IntN(20) == 0 {
			c.stored(n, SaveFailed{Worker: n.id, Generation: g.Number, Step: n.step, Reason: "no space"})
		} else {
			c.stored(n, Saved{Worker: n.id, Generation: g.Number, Step: n.step, Digest: fmt.Sprint(n.step)})
		}
	}
	if last || yield {
		c.leave(n, "")
		return nil
	}
	for s := range n.self.Shards {
		n.held = append(n.held, n.self.FirstShard+s)
	}
	return nil
}

// votes says whether a member of a generation voted before the ring of a step was
// complete. The first who asks decides for all.
func (c *cluster) votes(key [2]uint64) (yield, save bool) {
	decided := c.decided[key]
	if decided == nil {
		for _, n := range c.sorted() {
			if n.generation.Number == key[0] && n.yield {
				yield, save = true, save || n.save
			}
		}
		c.decided[key] = &[2]bool{yield, save}
		return yield, save
	}
	return decided[0], decided[1]
}
