package nn

import (
	"fmt"
	"slices"

	"gorgonia.org/tensor"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/kernel"
)

// Tensor is a dense float32 tensor in row-major order.
type Tensor = *tensor.Dense

// Engine is the gorgonia engine of this project. It gives tensors their memory
// from an arena, counts their owners, and computes what the layers need by
// package kernel; the rest is gorgonia's StdEng. Not for concurrent use.
type Engine struct {
	tensor.StdEng
	pool  *kernel.Pool
	arena arena
	// grain is the least number of elements that is worth another thread.
	grain int
	// forwardOnly says that no Backward follows, so that nothing is kept for it.
	forwardOnly bool
	// For measurements: see DirectSums and WatchConvs.
	direct bool
	watch  func(ConvCall)
	// The tensors since Reset are the first used of handles, in the order of their
	// making. A pass makes the same ones as the pass before it, which so need no
	// new headers.
	handles []*handle
	used    int
	find    map[Tensor]*handle
}

// handle is what the engine knows of a tensor.
type handle struct {
	t      Tensor
	memory []float32 // of the arena; nil where it is the caller's
	number int       // by which the arena knows memory
	owners int
}

// The engine multiplies matrices by itself.
var (
	_ tensor.MatMuler = (*Engine)(nil)
	_ tensor.Engine   = (*Engine)(nil)
)

// NewEngine returns an engine that splits its work over the pool.
func NewEngine(pool *kernel.Pool) *Engine {
	return &Engine{pool: pool, grain: 1 << 14, find: map[Tensor]*handle{}}
}

// Pool is what the engine splits its work over.
func (e *Engine) Pool() *kernel.Pool { return e.pool }

// split runs body on ranges that cover [0, n), where an item has so many elements.
// How it cuts them must not show in what body computes.
func (e *Engine) split(n, elems int, body func(lo, hi int)) {
	e.pool.For(n, max(1, e.grain/elems), body)
}

// Reset takes back every tensor, for a Forward that Backward follows.
func (e *Engine) Reset() { e.reset(false) }

// ResetForward takes back every tensor, for a Forward without Backward.
func (e *Engine) ResetForward() { e.reset(true) }

func (e *Engine) reset(forwardOnly bool) {
	for _, h := range e.handles[:e.used] {
		h.owners = 0
	}
	e.forwardOnly, e.used = forwardOnly, 0
	if e.arena.reset() {
		e.handles = nil // they hold on to memory that is of no use any more
		clear(e.find)
	}
}

// New returns a tensor of undefined content, whose owner is the caller.
func (e *Engine) New(shape ...int) Tensor {
	n := tensor.Shape(shape).TotalSize()
	number, memory := e.arena.alloc(n)
	h := e.header(memory, shape)
	h.memory, h.number, h.owners = memory, number, 1
	return h.t
}

// Zeros is New with zeroed content.
func (e *Engine) Zeros(shape ...int) Tensor {
	t := e.New(shape...)
	clear(t.Float32s())
	return t
}

// newLike is New with x's shape, but for another last dimension.
func (e *Engine) newLike(x Tensor, last int) Tensor {
	var dims [4]int
	shape := append(dims[:0], x.Shape()...)
	shape[len(shape)-1] = last
	return e.New(shape...)
}

// Wrap makes a tensor of the caller's memory, valid until Reset. It is owned and
// released as any other, which does nothing to the memory.
func (e *Engine) Wrap(data []float32, shape ...int) Tensor {
	h := e.header(data, shape)
	h.memory, h.owners = nil, 1
	return h.t
}

// Share gives a tensor one more owner, and returns it.
func (e *Engine) Share(t Tensor) Tensor {
	e.handle(t).owners++
	return t
}

// Keep is for a tensor that its owner has no more use for until Backward. Where no
// Backward follows it releases the tensor and returns nil.
func (e *Engine) Keep(t Tensor) Tensor {
	if e.forwardOnly {
		e.Release(t)
		return nil
	}
	return t
}

// Release ends the caller's ownership; when the last owner's ends, the memory is
// used again. It passes over nil, which stands for no tensor.
func (e *Engine) Release(tensors ...Tensor) {
	for _, t := range tensors {
		if t == nil {
			continue
		}
		h := e.handle(t)
		if h.owners--; h.owners == 0 && h.memory != nil {
			e.arena.free(h.number, h.memory)
		}
	}
}

// Usage is the memory of a pass, in bytes: Live is what tensors take now, Peak the
// most that they took at one time. Arena is what the engine holds for them after
// the first pass of a kind: the Peak, and what no plan could fill.
type Usage struct{ Live, Peak, Arena int }

// Usage returns the memory of the pass that began with the last Reset.
func (e *Engine) Usage() Usage {
	const size = 4
	return Usage{Live: size * e.arena.live, Peak: size * e.arena.most, Arena: size * len(e.arena.slab)}
}

// handle returns what is known of a tensor that somebody owns.
func (e *Engine) handle(t Tensor) *handle {
	h := e.find[t]
	if h == nil || h.owners == 0 {
		panic(fmt.Sprintf("nn: a tensor of shape %v is used after its last owner released it", t.Shape()))
	}
	return h
}

// header returns the next tensor of the pass, the one of the last pass if that
// serves.
func (e *Engine) header(data []float32, shape []int) *handle {
	if e.used == len(e.handles) {
		e.handles = append(e.handles, &handle{})
	}
	h := e.handles[e.used]
	e.used++
	if h.t != nil && &h.t.Float32s()[0] == &data[0] && slices.Equal(h.t.Shape(), shape) && !h.t.DataOrder().IsTransposed() {
		return h
	}
	delete(e.find, h.t)
	h.t = tensor.New(tensor.WithShape(slices.Clone(shape)...), tensor.WithBacking(data), tensor.WithEngine(e))
	e.find[h.t] = h
	return h
}
