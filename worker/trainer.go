package worker

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/ddpm-cluster/ddpm-cluster/allreduce"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm"
	"github.com/ddpm-cluster/ddpm-cluster/internal/hugepages"
	"github.com/ddpm-cluster/ddpm-cluster/internal/logging"
	"github.com/ddpm-cluster/ddpm-cluster/internal/tracing"
	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
)

// trainer is the training loop: one goroutine for the worker's whole life, which
// generations come to and leave again. It computes whatever shards it has been
// dealt, ring or no ring; only to complete a step it needs one.
//
// What it shares with the serving goroutine is under mu. The state itself belongs
// to the loop; peers read it under stateMu.
type trainer struct {
	run     *run
	log     *slog.Logger
	send    func(*ddpmv1.WorkerMessage)
	saver   *saver
	backlog *backlog
	where   *logging.Where
	// compareEvery is how many steps lie between two comparisons of the members'
	// weights; 0: never.
	compareEvery uint64

	mu      sync.Mutex
	changed *sync.Cond
	// generation is the newest that the worker was assigned, nil before the first.
	generation *generation
	// busy says that the loop is at what moves its position: catching up or
	// reducing.
	busy bool
	// hasState, step and hasGradient are as in a Position.
	hasState, hasGradient bool
	step                  uint64
	// todo are the shards of the step that are still to be computed, done those
	// whose gradients are in sum.
	todo, done []int
	rate       rate
	// doubted is the worker whose connection failed since the last step.
	doubted string
	meter   meter

	// sum holds the done shards in fixed point, tail their lanes, grad one shard's
	// gradient and, from the end on as the ring has it, the step's result. sums is sum's
	// memory, nil where others can't read it.
	sum  []int64
	sums *allreduce.Sums
	tail tail
	grad []float32
	// alone says that there is one done shard, which is in grad and not in sum; results
	// come into spare then. See term.go.
	alone bool
	spare []float32
	// spent is where the time of the done shards went; shards are their spans, of which
	// there are none without a tracer.
	spent  spent
	tracer *tracing.Tracer
	shards []tracing.Span
	// reduction is the all-reduce that has begun, the loop's own; nil when none has.
	reduction *reduction
	// planned says that the device is at step, and the dataset asked for it.
	planned bool
	// local takes a shard's or a group's local steps; nil in a run without them. groupSum
	// holds the gradients of a group's shards in one of them, nil in a run without groups.
	local    *ddpm.LocalSteps
	groupSum []int64

	stateMu sync.RWMutex
	// state has seen as many steps as Step says; reduced is the gradient of the last
	// of them, if gradientOf is that step, and totals are its totals, if totalsOf is.
	state      *ddpm.State
	reduced    []float32
	totals     tail
	gradientOf uint64
	totalsOf   uint64
	// moved is closed and replaced when the state moves on.
	moved chan struct{}
}

func newTrainer(r *run, log *slog.Logger, send func(*ddpmv1.WorkerMessage), compareEvery uint64, private bool) *trainer {
	n := r.spec.Model.ParamCount()
	t := &trainer{
		run: r, log: log, send: send, backlog: &backlog{}, compareEvery: compareEvery,
		grad: hugepages.Make[float32](n), reduced: hugepages.Make[float32](n), moved: make(chan struct{}),
	}
	t.makeSums(n, private)
	if r.spec.Local.Steps > 0 {
		t.local = ddpm.NewLocalSteps(r.spec, r.device, r.pool)
	}
	if t.grouped() {
		t.groupSum = hugepages.Make[int64](n)
	}
	t.saver = newSaver(r, log, send)
	t.changed = sync.NewCond(&t.mu)
	return t
}

// live works until ctx ends, which is no error, or until it can't go on.
func (t *trainer) live(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.changed.Broadcast()
	})
	defer stop()
	defer t.saver.open(ctx)()
	defer t.reportInput(time.Now())
	defer t.leaveReduction()
	for {
		do := t.next(ctx)
		if do == nil {
			return nil
		}
		if err := do(); err != nil {
			return err
		}
	}
}

// next waits for something to do; nil when ctx has ended.
func (t *trainer) next(ctx context.Context) func() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for {
		g := t.generation
		current := g != nil && !g.left
		switch {
		case ctx.Err() != nil:
			return nil
		case t.stale():
			return t.abandon
		case current && !g.entered:
			t.busy = true
			return func() error { return t.enter(ctx, g) }
		case len(t.todo) > 0 && t.grouped():
			if current && g.joined() {
				return func() error { return t.computeGroup(ctx, g) }
			}
		case len(t.todo) > 0:
			shard := t.todo[0]
			if len(t.todo) > 1 || !current || g.ring == nil {
				g = nil // nothing can go to a ring yet
			}
			return func() error { return t.compute(ctx, shard, g) }
		case current && g.ring != nil:
			t.busy = true
			return func() error { return t.complete(g) }
		}
		t.changed.Wait()
	}
}

// assign hands a generation to the loop.
func (t *trainer) assign(g *generation) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.generation = g
	t.changed.Broadcast()
}

// idle ends what moves the position.
func (t *trainer) idle() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.busy = false
	t.changed.Broadcast()
}

// linked gives a generation its ring, and that of its group, if there is one. It is false
// when the generation is over.
func (t *trainer) linked(g *generation, ring, inner *allreduce.Ring) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if g.left {
		return false
	}
	g.ring, g.inner = ring, inner
	t.changed.Broadcast()
	t.ready(g)
	return true
}

// ready tells the coordinator when a generation has its state and its ring. It is
// called under mu.
func (t *trainer) ready(g *generation) {
	if g.entered && g.ring != nil && !g.left {
		t.send(&ddpmv1.WorkerMessage{Body: &ddpmv1.WorkerMessage_Ready{Ready: &ddpmv1.Ready{Generation: g.number}}})
	}
}

// departure is how a generation is left.
type departure struct {
	// cause is what the neighbours hear; nil when they have all that they need.
	cause error
	// broke and unreachable are as in a Position.
	broke       string
	unreachable int
	// differs says that weights is not the hash that all members have.
	differs bool
	weights uint64
}

// broke is how a generation is left whose ring broke. It blames the successor that
// can't be reached, or whose connection failed. That one fails again and again may
// also be its machine's load, so that it is told only once in a step: it takes a
// successor that can't be reached to take one out.
func (t *trainer) broke(g *generation, err error) departure {
	d := departure{cause: err, broke: err.Error(), unreachable: -1}
	t.mu.Lock()
	defer t.mu.Unlock()
	next, rank := g.next.GetWorkerId(), (g.rank+1)%g.size
	var p *allreduce.PartnerError
	if errors.As(err, &p) {
		next, rank = g.others[p.Rank].GetWorkerId(), p.Rank
	}
	switch {
	case errors.Is(err, allreduce.ErrUnreachable):
	case errors.Is(err, allreduce.ErrLost) && t.doubted != next:
		t.doubted = next
	default:
		return d
	}
	d.unreachable = rank
	return d
}

// leave ends a generation and tells the coordinator where the worker stands then,
// once.
func (t *trainer) leave(g *generation, d departure) {
	if t.part(g, d) {
		t.tell(g)
	}
}

// part ends a generation. It is false when the worker has left it before.
func (t *trainer) part(g *generation, d departure) bool {
	t.mu.Lock()
	if g.left {
		t.mu.Unlock()
		return false
	}
	g.left, g.parted = true, d
	ring, inner := g.ring, g.inner
	t.changed.Broadcast()
	t.mu.Unlock()
	g.close(d.cause, ring, inner)
	return true
}

// tell tells where the worker stands after a generation, when that is final.
func (t *trainer) tell(g *generation) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for t.busy && t.generation == g {
		t.changed.Wait()
	}
	if t.generation == g { // nobody asks for what was before a newer one
		g.told = true
		t.tellPosition()
	}
}

// tellPosition tells the coordinator where the worker stands. It is called under mu.
func (t *trainer) tellPosition() {
	t.send(&ddpmv1.WorkerMessage{Body: &ddpmv1.WorkerMessage_Position{Position: t.standing()}})
}

// speakTo calls use, from which on what is sent goes to another coordinator. Where
// the worker has left its ring since it told that one that it trains, it says so.
func (t *trainer) speakTo(use func(), training bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	use()
	if g := t.generation; training && g != nil && g.told {
		t.tellPosition()
	}
}

// position is where the worker stands.
func (t *trainer) position() *ddpmv1.Position {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.standing()
}

// standing is position under mu.
func (t *trainer) standing() *ddpmv1.Position {
	p := &ddpmv1.Position{
		HasState: t.hasState, Step: t.step, HasGradient: t.hasGradient, Unreachable: -1,
	}
	if g := t.generation; g != nil {
		// Until it is told, the position may yet move.
		p.Generation, p.Training = g.number, !g.told
		p.Broke, p.Unreachable = g.parted.broke, int32(g.parted.unreachable)
		p.Differs, p.Weights = g.parted.differs, g.parted.weights
	}
	if t.grouped() {
		return p
	}
	for _, shards := range [][]int{t.done, t.todo} {
		for _, s := range shards {
			p.Shards = append(p.Shards, uint32(s))
		}
	}
	slices.Sort(p.Shards)
	return p
}

func (t *trainer) heartbeat() *ddpmv1.Heartbeat {
	t.mu.Lock()
	defer t.mu.Unlock()
	h := &ddpmv1.Heartbeat{Step: t.step, ShardRate: t.rate.perSecond(), RingSentBytes: t.meter.sent.Load(), RingBytesPerSecond: t.meter.rate}
	h.LinkLatencySeconds, h.LinkBytesPerSecond = time.Duration(t.meter.latency.Load()).Seconds(), t.meter.bandwidth
	h.Apart = t.meter.apart.Load()
	if t.generation != nil {
		h.Generation = t.generation.number
	}
	return h
}

// rate is how fast the worker computes shards, of late.
type rate struct{ seconds float64 }

// add counts a shard.
func (r *rate) add(d time.Duration) {
	if r.seconds == 0 {
		r.seconds = d.Seconds()
	}
	r.seconds += float64((d.Seconds() - r.seconds) / 8)
}

func (r *rate) perSecond() float64 {
	if r.seconds == 0 {
		return 0
	}
	return 1 / r.seconds
}
