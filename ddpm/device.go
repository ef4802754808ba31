package ddpm

import (
	"fmt"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/dataset"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/diffusion"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/kernel"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/unet"
)

// Device computes the gradient of a shard. It is the one place where another
// kind of hardware can stand; a run names its kind in Spec.Kind.
type Device interface {
	// Begin takes the weights for the shards that follow, until the next Begin.
	// The device may read them until then; the caller must not change them.
	Begin(weights []float32)
	// Gradient overwrites grad, one element a parameter, with the gradient of the
	// shard's loss and returns that loss: L_simple, the mean of (eps - eps_theta)²
	// over the shard's examples and all elements (equation 14). Both depend on
	// the weights and the shard alone.
	//
	// The gradient is made from its end on. final, if it is not nil, is called now and
	// then on the caller's goroutine, with lower and lower lo and at last with 0: from
	// element lo on grad is final, and the device reads and writes it no more.
	Gradient(shard []Example, grad []float32, final func(lo int)) (loss float64, err error)
}

// CPU is the Device of this machine's processor.
type CPU struct {
	// Clock gives the time in nanoseconds for the account; nil: times are not told.
	Clock func() int64

	spec   Spec
	data   dataset.Dataset
	tables *diffusion.Tables
	net    *unet.Net
	batch  Batch
	keys   []unet.Key
	xt, d  []float32

	account Account
}

// NewCPU returns a device that reads examples from data and splits its work over
// the pool; the pool's size never changes a bit.
func NewCPU(spec Spec, data dataset.Dataset, pool *kernel.Pool) *CPU {
	return &CPU{
		spec: spec, data: data,
		tables: diffusion.NewTables(spec.Diffusion),
		net:    unet.New(spec.Model, pool),
	}
}

// Begin implements Device.
func (c *CPU) Begin(weights []float32) { c.net.SetWeights(weights) }

// Gradient implements Device.
func (c *CPU) Gradient(shard []Example, grad []float32, final func(lo int)) (float64, error) {
	began := c.now()
	if err := c.batch.Load(c.spec, c.data, shard); err != nil {
		return 0, fmt.Errorf("shard of step %d: %w", shard[0].Step, err)
	}
	loaded := c.now()
	c.qSample()
	c.keys = c.keys[:0]
	for _, ex := range shard {
		c.keys = append(c.keys, unet.Key{Step: ex.Step, Slot: ex.Slot})
	}
	eps := c.net.Forward(c.xt, c.batch.T, unet.Training(c.spec.Seed, c.keys).WithClasses(c.batch.Classes))
	c.account.Losses = resized(c.account.Losses, len(shard))
	loss := lSimple(c.d, eps, c.batch.Eps, c.account.Losses)
	predicted := c.now()
	clear(grad)
	called := int64(0)
	c.net.Backward(c.d, grad, func(lo int) {
		if final != nil {
			before := c.now()
			final(lo)
			called += c.now() - before
		}
	})
	c.account.Input, c.account.Forward, c.account.Backward = loaded-began, predicted-loaded, c.now()-predicted-called
	return loss, nil
}

func (c *CPU) qSample() {
	if len(c.xt) != len(c.batch.X0) {
		c.xt, c.d = make([]float32, len(c.batch.X0)), make([]float32, len(c.batch.X0))
	}
	n := c.spec.Model.ImageLen()
	for e, t := range c.batch.T {
		lo, hi := e*n, (e+1)*n
		c.tables.QSample(c.xt[lo:hi], c.batch.X0[lo:hi], c.batch.Eps[lo:hi], t)
	}
}

// lSimple returns the mean of (predicted - eps)² and writes its gradient by the
// prediction into d, and each example's own mean into losses. The sum runs over the
// elements in order, in float64; an example's part of it is what it has grown by.
func lSimple(d, predicted, eps []float32, losses []float64) float64 {
	scale := 2 / float32(len(eps))
	n := len(eps) / len(losses)
	sum := 0.0
	for e := range losses {
		before := sum
		for i := e * n; i < (e+1)*n; i++ {
			diff := predicted[i] - eps[i]
			d[i] = scale * diff
			sum += float64(float64(diff) * float64(diff))
		}
		losses[e] = (sum - before) / float64(n)
	}
	return sum / float64(len(eps))
}

// resized is a slice of that length, whatever it holds.
func resized[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}
