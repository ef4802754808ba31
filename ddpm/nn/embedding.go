package nn

import (
	"math"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/rng"
)

// TimeEmbedding is SiLU(linear2(SiLU(linear1(sinusoid(t)))) + class), where class is
// the image's row of a table, in networks that have one. Each residual block applies
// SiLU to the embedding first, so it is applied here once.
//
// It keeps all between, some rows, and its result, which is read until its
// Backward.
type TimeEmbedding struct {
	e                *Engine
	linear1, linear2 *Linear
	in, out          int
	table            *Param // [classes, out]; nil where the network has none
	classes          []int  // of the pass
	form             SinusoidForm
	sinusoid         Tensor
	h1, a1, h2, s    Tensor // after linear1, its SiLU, after linear2, its SiLU
}

// NewTimeEmbedding builds the block from the parameters under name: sinusoids of
// in channels in a form, an embedding of out channels.
func NewTimeEmbedding(e *Engine, ps *Params, name string, in, out int, form SinusoidForm) *TimeEmbedding {
	return &TimeEmbedding{
		e: e, in: in, out: out, form: form,
		linear1: NewLinear(e, ps, name+".linear_1", in, out),
		linear2: NewLinear(e, ps, name+".linear_2", out, out),
	}
}

// WithClasses gives the block a table of so many classes, the parameter name.weight.
func (m *TimeEmbedding) WithClasses(ps *Params, name string, classes int) {
	m.table = ps.Get(name+".weight", classes*m.out)
}

// Pack lays out the weights for the products, once after they change.
func (m *TimeEmbedding) Pack() {
	m.linear1.Pack()
	m.linear2.Pack()
}

// Forward takes the timesteps of N images, and their classes where there is a table,
// and returns [N, out]. The result stays this block's own.
func (m *TimeEmbedding) Forward(t, classes []int) Tensor {
	m.sinusoid = m.e.Sinusoid(t, m.in, m.form)
	m.h1 = m.linear1.Forward(m.sinusoid)
	m.a1 = m.e.SiLU(m.h1)
	m.h2 = m.linear2.Forward(m.a1)
	m.classes = classes
	m.eachClass(m.h2, func(h, row []float32) {
		for i, v := range row {
			h[i] += v
		}
	}, false)
	m.s = m.e.SiLU(m.h2)
	return m.s
}

// Backward takes over the gradient by Forward's result.
func (m *TimeEmbedding) Backward(ds Tensor) {
	m.e.SiLUGrad(m.h2, ds)
	m.eachClass(ds, func(d, row []float32) {
		for i, v := range d {
			row[i] += v
		}
	}, true)
	d := m.linear2.Backward(m.a1, ds)
	m.e.SiLUGrad(m.h1, d)
	m.linear1.BackwardParams(m.sinusoid, d)
	m.e.Release(m.sinusoid, m.h1, m.a1, m.h2, m.s, ds, d)
}

// eachClass calls f for each image in turn with its row of x [N, out], and that of
// its class: of the table, or of the table's gradient.
func (m *TimeEmbedding) eachClass(x Tensor, f func(x, row []float32), gradient bool) {
	if m.table == nil {
		return
	}
	rows := m.table.W
	if gradient {
		rows = m.table.G
	}
	xs := x.Float32s()
	for i, c := range m.classes {
		f(xs[i*m.out:(i+1)*m.out], rows[c*m.out:(c+1)*m.out])
	}
}

// SinusoidForm is how a position embedding departs from that of Ho's code, which is
// the zero value.
type SinusoidForm struct {
	// CosFirst puts the cosines before the sines.
	CosFirst bool
	// Unshifted divides the exponent by dim/2 instead of dim/2-1.
	Unshifted bool
}

// Sinusoid returns the position embedding of the timesteps, [len(t), dim]:
// sin(t·f_j) for j < dim/2, then cos(t·f_j), with f_j = 10000^(-j/(dim/2-1))
// (Vaswani et al. 2017, in the form of Ho's code), or another form of it. dim is even
// and at least 4.
func (e *Engine) Sinusoid(t []int, dim int, form SinusoidForm) Tensor {
	y := e.New(len(t), dim)
	ys, half := y.Float32s(), dim/2
	divisor, sin, cos := float64(half-1), 0, half
	if form.Unshifted {
		divisor = float64(half)
	}
	if form.CosFirst {
		sin, cos = half, 0
	}
	for j := range half {
		freq := rng.Exp(-math.Ln10 * 4 * float64(j) / divisor)
		for i, step := range t {
			angle := float64(step) * freq
			ys[i*dim+sin+j] = float32(rng.Sin(angle))
			ys[i*dim+cos+j] = float32(rng.Cos(angle))
		}
	}
	return y
}
