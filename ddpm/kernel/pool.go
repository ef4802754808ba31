package kernel

import (
	"sync"
	"sync/atomic"
)

// chunksPerThread is how many ranges a loop is cut into for each thread, so
// that a thread which the system holds up does not hold up the loop.
const chunksPerThread = 4

// Pool runs loops over disjoint outputs on a fixed number of goroutines, and
// keeps the kernels' scratch memory from call to call.
//
// A Pool serves one loop at a time: its methods, and the kernels that take it,
// must not be called from two goroutines at once, nor from inside a loop body.
// A nil *Pool runs everything inline and allocates scratch at every call.
type Pool struct {
	wake    []chan struct{} // one for each goroutine, that is Threads()-1
	workers sync.WaitGroup
	done    sync.WaitGroup
	slots   []workspace // one for each thread; slot 0 is the caller's
	common  workspace   // scratch that all threads of one kernel share

	body  func(ws *workspace, lo, hi int)
	n     int
	chunk int
	next  atomic.Int64
}

// NewPool starts a pool of the given number of threads, the calling goroutine
// counted; fewer than 1 counts as 1. Close ends its goroutines.
func NewPool(threads int) *Pool {
	threads = max(threads, 1)
	p := &Pool{slots: make([]workspace, threads)}
	for i := 1; i < threads; i++ {
		wake := make(chan struct{}, 1)
		p.wake = append(p.wake, wake)
		p.workers.Add(1)
		go p.serve(wake, &p.slots[i])
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
	for _, wake := range p.wake {
		close(wake)
	}
	p.wake = nil
	p.workers.Wait()
}

// For calls body on ranges [lo, hi) that cover [0, n) once, on several threads.
// Every range but the last is a multiple of grain long. How [0, n) is cut is not
// part of any kernel's meaning: body must give the same result for any cut.
func (p *Pool) For(n, grain int, body func(lo, hi int)) {
	if p == nil || len(p.wake) == 0 || n <= grain {
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
	helpers := min(len(p.wake), (n+chunk-1)/chunk-1)
	if helpers == 0 {
		body(&p.slots[0], 0, n)
		return
	}
	p.body, p.n, p.chunk = body, n, chunk
	p.next.Store(0)
	p.done.Add(helpers)
	for _, wake := range p.wake[:helpers] {
		wake <- struct{}{}
	}
	p.work(&p.slots[0])
	p.done.Wait()
	p.body = nil
}

// serve is one goroutine of the pool: it helps with a loop at every wake-up.
func (p *Pool) serve(wake <-chan struct{}, ws *workspace) {
	defer p.workers.Done()
	for range wake {
		p.work(ws)
		p.done.Done()
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
	doubles []float64
	rows    [2][]int
	product product
	packed  Packed
}

// grow returns buf resliced to n elements, with new memory when it is too small.
// The elements are arbitrary.
func grow[T any](buf *[]T, n int) []T {
	if cap(*buf) < n {
		*buf = make([]T, n)
	}
	*buf = (*buf)[:cap(*buf)]
	return (*buf)[:n]
}
