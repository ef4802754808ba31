package kernel

import (
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/ddpm-cluster/ddpm-cluster/internal/hugepages"
)

// chunksPerThread is how many ranges a loop is cut into for each thread, so
// that a thread which the system holds up does not hold up the loop.
const chunksPerThread = 4

// spins is how often an idle goroutine yields before it sleeps, some 30 µs: loops
// follow each other closely, and waking a sleeper takes longer than many of them.
const spins = 200

// Pool runs loops over disjoint outputs on a fixed number of goroutines, and
// keeps the kernels' scratch memory from call to call.
//
// A Pool serves one loop at a time: its methods, and the kernels that take it,
// must not be called from two goroutines at once, nor from inside a loop body.
// A nil *Pool runs everything inline and allocates scratch at every call.
type Pool struct {
	helpers []helper // one for each goroutine, that is Threads()-1
	running sync.WaitGroup
	busy    sync.WaitGroup
	pending atomic.Int32 // helpers that are still in the current loop
	slots   []workspace  // one for each thread; slot 0 is the caller's
	common  workspace    // scratch that all threads of one kernel share

	body  func(ws *workspace, lo, hi int)
	n     int
	chunk int
	next  atomic.Int64
}

// NewPool starts a pool of the given number of threads, the calling goroutine
// counted; fewer than 1 counts as 1. Close ends its goroutines.
func NewPool(threads int) *Pool {
	threads = max(threads, 1)
	p := &Pool{slots: make([]workspace, threads), helpers: make([]helper, threads-1)}
	for i := range p.helpers {
		p.helpers[i].wake = make(chan struct{}, 1)
		p.running.Add(1)
		go p.serve(&p.helpers[i], &p.slots[i+1])
	}
	return p
}

// Threads returns the number of threads; 1 for a nil pool.
func (p *Pool) Threads() int {
	if p == nil {
		return 1
	}
	return len(p.slots)
}

// Close ends the pool's goroutines and waits for them. The pool stays usable
// and runs inline from then on. Closing twice or closing nil does nothing.
func (p *Pool) Close() {
	if p == nil {
		return
	}
	for i := range p.helpers {
		p.helpers[i].post(helperEnd)
	}
	p.helpers = nil
	p.running.Wait()
}

// For calls body on ranges [lo, hi) that cover [0, n) once, on several threads.
// Every range but the last is a multiple of grain long. How [0, n) is cut is not
// part of any kernel's meaning: body must give the same result for any cut.
func (p *Pool) For(n, grain int, body func(lo, hi int)) {
	if p == nil || len(p.helpers) == 0 || n <= grain {
		if n > 0 {
			body(0, n)
		}
		return
	}
	p.run(n, grain, func(_ *workspace, lo, hi int) { body(lo, hi) })
}

// run is For for the kernels: body gets the workspace of the thread it runs on.
func (p *Pool) run(n, grain int, body func(ws *workspace, lo, hi int)) {
	if n <= 0 {
		return
	}
	if p == nil {
		body(new(workspace), 0, n)
		return
	}
	grain = max(grain, 1)
	chunk := (n + len(p.slots)*chunksPerThread - 1) / (len(p.slots) * chunksPerThread)
	chunk = (chunk + grain - 1) / grain * grain
	helpers := p.helpers[:min(len(p.helpers), (n+chunk-1)/chunk-1)]
	if len(helpers) == 0 {
		body(&p.slots[0], 0, n)
		return
	}
	p.body, p.n, p.chunk = body, n, chunk
	p.next.Store(0)
	p.busy.Add(len(helpers))
	p.pending.Store(int32(len(helpers)))
	for i := range helpers {
		helpers[i].post(helperWork)
	}
	p.work(&p.slots[0])
	for i := 0; i < spins && p.pending.Load() > 0; i++ {
		runtime.Gosched()
	}
	p.busy.Wait()
	p.body = nil
}

// lineFloats is a cache line: two threads should not write to the same one.
const lineFloats = 16

// columns cuts n images and, when those are too few for the threads, the cols
// columns of each, and runs body on columns [from, to) of image i. The columns are
// cut between multiples of grain.
func (p *Pool) columns(n, cols, grain int, body func(ws *workspace, i, from, to int)) {
	if n == 0 {
		return
	}
	grains := (cols + grain - 1) / grain
	bands := 1
	if p.Threads() > 1 {
		bands = min((chunksPerThread*p.Threads()+n-1)/n, grains)
	}
	p.run(n*bands, 1, func(ws *workspace, lo, hi int) {
		for u := lo; u < hi; u++ {
			b := u % bands
			body(ws, u/bands, b*grains/bands*grain, min((b+1)*grains/bands*grain, cols))
		}
	})
}

// serve is one goroutine of the pool: it helps with every loop it is posted.
func (p *Pool) serve(h *helper, ws *workspace) {
	defer p.running.Done()
	for h.await() == helperWork {
		p.work(ws)
		p.pending.Add(-1)
		p.busy.Done()
	}
}

// work takes chunks of the current loop until none is left.
func (p *Pool) work(ws *workspace) {
	for {
		lo := int(p.next.Add(int64(p.chunk))) - p.chunk
		if lo >= p.n {
			return
		}
		p.body(ws, lo, min(lo+p.chunk, p.n))
	}
}

// helper is the mailbox of one goroutine of a Pool.
type helper struct {
	state atomic.Int32
	wake  chan struct{} // holds a value when a sleeper has been posted
}

// The states of a helper. The owner posts work or the end; the goroutine itself
// goes between idle and asleep.
const (
	helperIdle = iota
	helperAsleep
	helperWork
	helperEnd
)

// post gives the helper, which is idle or asleep, its next state.
func (h *helper) post(state int32) {
	if h.state.Swap(state) == helperAsleep {
		h.wake <- struct{}{}
	}
}

// await returns what was posted and leaves the helper idle.
func (h *helper) await() int32 {
	for i := 0; i < spins && h.state.Load() == helperIdle; i++ {
		runtime.Gosched()
	}
	if h.state.CompareAndSwap(helperIdle, helperAsleep) {
		<-h.wake
	}
	return h.state.Swap(helperIdle)
}

// shared returns the scratch that all threads of one kernel call share.
func (p *Pool) shared() *workspace {
	if p == nil {
		return new(workspace)
	}
	return &p.common
}

// workspace is the scratch memory of one thread, or of one call. Its buffers
// grow to the largest size asked for and are then reused; what they hold at the
// start of a kernel is arbitrary.
type workspace struct {
	floats  [8][]float32
	sinks   []tileSink // for each group of columns
	weights []transformedWeights
	doubles []float64
	rows    [2][]int
	copied  []float32 // rows of a product's A
	// where rows are in copied
	copiedRows []int
	product    product
	packed     Packed
}

// grow returns buf resliced to n elements, with new memory when it is too small.
// The elements are arbitrary.
func grow[T any](buf *[]T, n int) []T {
	if cap(*buf) < n {
		*buf = hugepages.Make[T](n)
	}
	*buf = (*buf)[:cap(*buf)]
	return (*buf)[:n]
}
