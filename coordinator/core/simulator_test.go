package core

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

var (
	seed  = flag.Uint64("seed", 1, "of the first simulated life; 0 is any")
	lives = flag.Int("lives", 1000, "how many lives are simulated")
)

// TestSimulatedClusters plays random lives of whole clusters: workers that die,
// stall, join, leave, lose their session, or a neighbour; coordinators that die and are followed by
// another; messages that are late; checkpoints that fail. After every event the
// law is checked: a step completes with each shard in it once and no more, nobody
// goes back, and what is published is a state that all saved. When the faults end,
// so does the run, with its last step published.
func TestSimulatedClusters(t *testing.T) {
	// The same lives each time, so that a change is to blame for what is new. To look
	// for more: -lives 100000 -seed 0, which begins somewhere.
	lives, first := *lives, *seed
	if testing.Short() {
		lives = min(lives, 300)
	}
	if first == 0 {
		first = rand.Uint64()
	}
	for i := range lives {
		seed := first + uint64(i)
		c := newCluster(seed)
		if err := c.live(); err != nil {
			t.Fatalf("seed %d: %v\n%s", seed, err, c.story())
		}
	}
}

// TestSimulationsRepeat plays a life twice: the machine's decisions depend on
// nothing but its events.
func TestSimulationsRepeat(t *testing.T) {
	for seed := range uint64(30) {
		a, b := newCluster(seed), newCluster(seed)
		if errA, errB := a.live(), b.live(); errA != nil || errB != nil || a.story() != b.story() {
			t.Fatalf("seed %d: two lives of the same events differ: %v, %v", seed, errA, errB)
		}
	}
}

// cluster is a simulated cluster: one machine, and workers that do what package
// worker does.
type cluster struct {
	random *rand.Rand
	config Config
	m      *Machine
	now    time.Time
	lines  []string

	nodes map[string]*node
	next  int
	// toMachine holds what is on its way to the coordinator, by worker: each
	// session keeps its order. persists and publishes are under way beside it.
	toMachine map[string][]Event
	persists  []Generation
	publishes []Publish
	kept      Generation // in etcd
	published uint64
	// contributed are the shards that the members of a generation brought to the
	// ring of a step.
	contributed map[[2]uint64]map[string][]int
	decided     map[[2]uint64]*[2]bool
	// cut are two workers that do not reach each other.
	cut     [2]string
	quiet   bool
	stopped bool // somebody asked the run to end
	end     *End
}

// node is a simulated worker.
type node struct {
	id        string
	alive     bool
	stalled   bool
	connected bool
	inbox     []Effect
	available bool

	generation Generation
	self       Member
	inRing     bool // it has linked and not left
	linking    bool
	reported   bool
	yield      bool
	save       bool
	brought    bool // its sums of the step are in the ring

	hasState, hasGradient bool
	step                  uint64
	held                  []int
	leaving               bool
	told                  []Event
}

func newCluster(seed uint64) *cluster {
	r := rand.New(rand.NewPCG(seed, 1))
	workers := 1 + r.IntN(6)
	c := &cluster{
		random: r, now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
		config: Config{
			Workers: workers, MinWorkers: 1 + r.IntN(workers), Patience: 3 * time.Second,
			Shards: 1 + r.IntN(12), Steps: uint64(3 + r.IntN(30)), CheckpointEvery: uint64(r.IntN(8)),
			Silence: Silence{2 * time.Second, 10 * time.Second}, AdoptPatience: 5 * time.Second,
			Version: "v1", Build: "sha256:aaaa",
		},
		nodes: map[string]*node{}, toMachine: map[string][]Event{},
		contributed: map[[2]uint64]map[string][]int{},
		decided:     map[[2]uint64]*[2]bool{},
	}
	c.group(seed)
	return c
}

func (c *cluster) story() string {
	text := fmt.Sprintf("%+v\n", c.config)
	for _, line := range c.lines[max(0, len(c.lines)-400):] {
		text += line + "\n"
	}
	return text
}

func (c *cluster) log(format string, args ...any) {
	c.lines = append(c.lines, c.now.Format("05.000 ")+fmt.Sprintf(format, args...))
}

func (c *cluster) live() error {
	c.lead()
	for range c.config.Workers {
		c.start()
	}
	for range 300 + c.random.IntN(600) {
		if err := c.happen(); err != nil || c.end != nil {
			return c.judge(err)
		}
	}
	c.quiet, c.cut = true, [2]string{}
	for _, n := range c.sorted() {
		n.stalled = false
	}
	for range 20000 {
		for c.aliveNodes() < c.config.Workers {
			c.start()
		}
		if err := c.happen(); err != nil || c.end != nil {
			return c.judge(err)
		}
	}
	return fmt.Errorf("the run has not ended: %s, %s", c.m.Phase(), c.m.Reason())
}

// lead starts a coordinator, which knows what is in etcd and in the Store.
func (c *cluster) lead() {
	config := c.config
	config.StartStep, config.HasCheckpoint = c.published, c.published > 0
	config.Last, config.Adopt = c.kept, true
	c.m = New(config)
	c.persists, c.publishes = nil, nil
	c.toMachine = map[string][]Event{}
	for _, n := range c.sorted() {
		n.connected, n.inbox = false, nil
	}
	c.log("a coordinator leads from step %d, generation %d", c.published, c.kept.Number)
}

func (c *cluster) start() {
	c.next++
	n := &node{id: fmt.Sprintf("w%d", c.next), alive: true}
	c.nodes[n.id] = n
	c.log("%s starts", n.id)
}

func (c *cluster) sorted() []*node {
	var nodes []*node
	for i := 1; i <= c.next; i++ {
		if n := c.nodes[fmt.Sprintf("w%d", i)]; n != nil {
			nodes = append(nodes, n)
		}
	}
	return nodes
}

func (c *cluster) aliveNodes() (count int) {
	for _, n := range c.sorted() {
		if n.alive && !n.leaving {
			count++
		}
	}
	return count
}

func (c *cluster) someone() *node {
	nodes := slices.DeleteFunc(c.sorted(), func(n *node) bool { return !n.alive })
	if len(nodes) == 0 {
		return nil
	}
	return nodes[c.random.IntN(len(nodes))]
}

// happen lets one thing happen.
func (c *cluster) happen() error {
	if c.random.IntN(8) == 0 {
		c.now = c.now.Add(100 * time.Millisecond)
		for _, n := range c.sorted() {
			if n.alive && n.connected && !n.stalled {
				if err := c.give(Heard{Worker: n.id, Rate: float64(1 + n.step%2)}); err != nil || c.end != nil {
					return err
				}
			}
		}
		return c.give(Tick{})
	}
	if !c.quiet && c.random.IntN(25) == 0 {
		return c.fault()
	}
	switch c.random.IntN(10) {
	case 0:
		return c.persist()
	case 1:
		return c.publish()
	case 2, 3, 4:
		return c.deliver()
	}
	n := c.someone()
	if n == nil || n.stalled {
		return nil
	}
	return c.act(n)
}

// fault is one of the things that a cluster must bear.
func (c *cluster) fault() error {
	n := c.someone()
	if c.random.IntN(60) == 0 {
		c.stopped = true
		return c.give(StopRequested{"interrupted"})
	}
	switch c.random.IntN(9) {
	case 0, 1:
		c.start()
	case 8:
		c.cut = [2]string{}
		if o := c.someone(); o != nil && n != o && c.random.IntN(3) > 0 {
			c.cut = [2]string{n.id, o.id}
		}
		c.log("the network is cut between: %v", c.cut)
	case 2:
		c.log("the coordinator dies")
		c.lead()
	case 3:
		if n != nil {
			n.stalled = !n.stalled
			c.log("%s stalls: %v", n.id, n.stalled)
		}
	case 4:
		if n != nil && n.connected {
			n.connected, n.inbox = false, nil
			delete(c.toMachine, n.id)
			c.log("%s loses its session", n.id)
			return c.give(Left{n.id, "its session broke"})
		}
	case 5:
		if n != nil && n.connected && !n.leaving {
			n.leaving = true
			c.say(n, Leaving{n.id, "it was told to"})
		}
	default:
		return c.kill(n)
	}
	return nil
}

func (c *cluster) kill(n *node) error {
	if n == nil {
		return nil
	}
	c.log("%s dies", n.id)
	connected := n.connected
	n.alive, n.connected = false, false
	delete(c.nodes, n.id)
	delete(c.toMachine, n.id)
	if connected {
		return c.give(Left{n.id, "its session broke"})
	}
	return nil
}

func (c *cluster) say(n *node, e Event) {
	if n.connected {
		c.toMachine[n.id] = append(c.toMachine[n.id], e)
	}
}

// deliver hands over the oldest message of somebody.
func (c *cluster) deliver() error {
	var waiting []string
	for _, n := range c.sorted() {
		if len(c.toMachine[n.id]) > 0 {
			waiting = append(waiting, n.id)
		}
	}
	if len(waiting) == 0 {
		return nil
	}
	id := waiting[c.random.IntN(len(waiting))]
	e := c.toMachine[id][0]
	c.toMachine[id] = c.toMachine[id][1:]
	return c.give(e)
}

func (c *cluster) persist() error {
	if len(c.persists) == 0 {
		return nil
	}
	g := c.persists[0]
	c.persists = c.persists[1:]
	c.kept = g
	return c.give(Persisted{g.Number})
}

func (c *cluster) publish() error {
	if len(c.publishes) == 0 {
		return nil
	}
	p := c.publishes[0]
	c.publishes = c.publishes[1:]
	if !c.quiet && c.random.IntN(10) == 0 {
		return c.give(PublishFailed{p.Generation, p.Step, "the Store is away"})
	}
	c.published = max(c.published, p.Step)
	return c.give(Published{p.Generation, p.Step})
}

// give gives an event to the machine and does what it says.
func (c *cluster) give(e Event) error {
	if _, ok := e.(Tick); !ok {
		if _, ok := e.(Heard); !ok {
			if j, ok := e.(Joined); ok && j.Resume != nil {
				c.log("> core.Joined %s resumes %+v", j.Worker, *j.Resume)
			} else {
				c.log("> %T %+v", e, e)
			}
		}
	}
	for _, effect := range c.m.Step(c.now, e) {
		c.log("    %T %+v", effect, effect)
		if err := c.do(effect); err != nil {
			return err
		}
	}
	return nil
}

func (c *cluster) do(effect Effect) error {
	to := func(id string) {
		if n := c.nodes[id]; n != nil && n.connected {
			n.inbox = append(n.inbox, effect)
		}
	}
	switch e := effect.(type) {
	case Persist:
		if e.Generation.Number <= c.kept.Number {
			return fmt.Errorf("generation %d after %d", e.Generation.Number, c.kept.Number)
		}
		c.persists = append(c.persists, e.Generation)
	case Assign:
		if c.kept.Number < e.Generation.Number {
			return fmt.Errorf("generation %d is assigned before it is persisted", e.Generation.Number)
		}
		to(e.Worker)
	case Halt:
		to(e.Worker)
	case Yield:
		to(e.Worker)
	case Dismiss:
		to(e.Worker)
	case Refuse:
		return fmt.Errorf("%s is refused: %s", e.Worker, e.Reason)
	case Publish:
		c.publishes = append(c.publishes, e)
		if len(e.Members) == 0 {
			return fmt.Errorf("step %d is published of no parts", e.Step)
		}
	case End:
		c.end = &e
	}
	return nil
}
