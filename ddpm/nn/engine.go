package nn

import (
	"fmt"

	"gorgonia.org/tensor"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/kernel"
)

// Tensor is a dense float32 tensor in row-major order.
type Tensor = *tensor.Dense

// Engine is the gorgonia engine of this project. It allocates from an arena that
// one forward and backward pass shares, and computes what the layers need by
// package kernel; the rest is gorgonia's StdEng. Not for concurrent use.
type Engine struct {
	tensor.StdEng
	pool  *kernel.Pool
	arena arena
	// grain is the least number of elements that is worth another thread.
	grain int
}

// The engine multiplies matrices and adds tensors by itself.
var (
	_ tensor.MatMuler = (*Engine)(nil)
	_ tensor.Engine   = (*Engine)(nil)
)

// NewEngine returns an engine that splits its work over the pool.
func NewEngine(pool *kernel.Pool) *Engine { return &Engine{pool: pool, grain: 1 << 14} }

// Pool is what the engine splits its work over.
func (e *Engine) Pool() *kernel.Pool { return e.pool }

// split runs body on ranges that cover [0, n), where an item has so many elements.
// How it cuts them must not show in what body computes.
func (e *Engine) split(n, elems int, body func(lo, hi int)) {
	e.pool.For(n, max(1, e.grain/elems), body)
}

// Reset takes back every tensor that New gave out.
func (e *Engine) Reset() { e.arena.reset() }

// New returns a tensor of arena memory with undefined content, valid until Reset.
func (e *Engine) New(shape ...int) Tensor {
	return e.Wrap(e.arena.alloc(tensor.Shape(shape).TotalSize()), shape...)
}

// Zeros is New with zeroed content.
func (e *Engine) Zeros(shape ...int) Tensor {
	t := e.New(shape...)
	clear(t.Float32s())
	return t
}

// Wrap makes a tensor of the caller's memory.
func (e *Engine) Wrap(data []float32, shape ...int) Tensor {
	return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(data), tensor.WithEngine(e))
}

// MatMul implements tensor.MatMuler: out = a·b for matrices [m, k] and [k, n],
// transposed views included. Sums run over k as kernel.Gemm defines them.
func (e *Engine) MatMul(a, b, out tensor.Tensor) error {
	ma, mb, mc, err := matrices(a, b, out)
	if err != nil {
		return fmt.Errorf("matrix product: %w", err)
	}
	kernel.Gemm(e.pool, ma, mb, mc.Data, mc.RowStride, false)
	return nil
}

func matrices(a, b, out tensor.Tensor) (ma, mb, mc kernel.Mat, err error) {
	if ma, err = matrix(a); err != nil {
		return
	}
	if mb, err = matrix(b); err != nil {
		return
	}
	if mc, err = matrix(out); err != nil {
		return
	}
	if ma.Cols != mb.Rows || mc.Rows != ma.Rows || mc.Cols != mb.Cols || mc.ColStride != 1 {
		err = fmt.Errorf("shapes %v · %v do not give a row-major %v", a.Shape(), b.Shape(), out.Shape())
	}
	return
}

// matrix describes a tensor of two dimensions, a view or not, to the kernels.
func matrix(t tensor.Tensor) (kernel.Mat, error) {
	data, ok := t.Data().([]float32)
	if !ok || t.Dims() != 2 {
		return kernel.Mat{}, fmt.Errorf("%v of shape %v is not a float32 matrix", t.Dtype(), t.Shape())
	}
	strides := t.Strides()
	return kernel.Mat{
		Data: data, Rows: t.Shape()[0], Cols: t.Shape()[1],
		RowStride: strides[0], ColStride: strides[1],
	}, nil
}

// arena hands out memory that is taken back all at once. It grows to what one
// pass needs and then allocates no more.
type arena struct {
	chunks [][]float32
	chunk  int
	used   int
}

// minChunk is the least that the arena asks for at once, in elements.
const minChunk = 1 << 20

// alignment of every allocation in elements: a cache line.
const alignment = 16

func (a *arena) alloc(n int) []float32 {
	padded := (n + alignment - 1) / alignment * alignment
	for ; a.chunk < len(a.chunks); a.chunk, a.used = a.chunk+1, 0 {
		if c := a.chunks[a.chunk]; a.used+padded <= len(c) {
			s := c[a.used : a.used+n : a.used+n]
			a.used += padded
			return s
		}
	}
	a.chunks = append(a.chunks, make([]float32, max(padded, minChunk)))
	a.used = padded
	return a.chunks[a.chunk][:n:n]
}

func (a *arena) reset() { a.chunk, a.used = 0, 0 }
