package nn

import "github.com/ddpm-cluster/ddpm-cluster/ddpm/kernel"

// AddTo adds b to a in place; the shapes agree.
func (e *Engine) AddTo(a, b Tensor) {
	as, bs := a.Float32s(), b.Float32s()
	e.split(len(as), 1, func(lo, hi int) { kernel.AddTo(as[lo:hi], bs[lo:hi]) })
}

// take adds b to a in place and releases b, which the caller owns.
func (e *Engine) take(a, b Tensor) {
	e.AddTo(a, b)
	e.Release(b)
}

// addRow adds row to each of the rows of x.
func (e *Engine) addRow(x, row []float32, rows int) {
	n := len(row)
	e.split(rows, n, func(lo, hi int) { kernel.AddRow(x[lo*n:hi*n], row, hi-lo, n) })
}

// addToPixels adds row n of t [N, C] to every pixel of image n of x [N, H, W, C].
func (e *Engine) addToPixels(x, t Tensor) {
	n, h, w, c := dims(x)
	xs, ts, pixels := x.Float32s(), t.Float32s(), h*w
	e.split(n*pixels, c, func(lo, hi int) {
		for lo < hi {
			image := lo / pixels
			end := min(hi, (image+1)*pixels)
			kernel.AddRow(xs[lo*c:end*c], ts[image*c:(image+1)*c], end-lo, c)
			lo = end
		}
	})
}

// sumPixels is the gradient by addToPixels' t, [N, C]: the sum of dx [N, H, W, C]
// over the pixels of each image.
func (e *Engine) sumPixels(dx Tensor) Tensor {
	n, h, w, c := dims(dx)
	dt := e.New(n, c)
	kernel.ColSum(e.pool, dt.Float32s(), dx.Float32s(), n, h*w, c, false)
	return dt
}

// SiLU returns x·sigmoid(x).
func (e *Engine) SiLU(x Tensor) Tensor {
	y := e.New(x.Shape()...)
	ys, xs := y.Float32s(), x.Float32s()
	e.split(len(ys), 1, func(lo, hi int) { kernel.SiLU(ys[lo:hi], xs[lo:hi]) })
	return y
}

// SiLUGrad takes SiLU's input and the gradient by its result, and turns the latter
// in place into the gradient by the input, which it returns.
func (e *Engine) SiLUGrad(x, dy Tensor) Tensor {
	ds, xs := dy.Float32s(), x.Float32s()
	e.split(len(ds), 1, func(lo, hi int) { kernel.SiLUGrad(ds[lo:hi], ds[lo:hi], xs[lo:hi]) })
	return dy
}

// JoinChannels joins two tensors [N, H, W, C] along the channels, a first.
func (e *Engine) JoinChannels(a, b Tensor) Tensor {
	ca, cb := a.Shape()[3], b.Shape()[3]
	y := e.newLike(a, ca+cb)
	ys, as, bs := y.Float32s(), a.Float32s(), b.Float32s()
	e.split(len(as)/ca, ca+cb, func(lo, hi int) {
		for p := lo; p < hi; p++ {
			row := ys[p*(ca+cb) : (p+1)*(ca+cb)]
			copy(row, as[p*ca:(p+1)*ca])
			copy(row[ca:], bs[p*cb:(p+1)*cb])
		}
	})
	return y
}

// SplitChannels undoes JoinChannels: the first ca channels, and the rest.
func (e *Engine) SplitChannels(y Tensor, ca int) (a, b Tensor) {
	cb := y.Shape()[3] - ca
	a, b = e.newLike(y, ca), e.newLike(y, cb)
	ys, as, bs := y.Float32s(), a.Float32s(), b.Float32s()
	e.split(len(as)/ca, ca+cb, func(lo, hi int) {
		for p := lo; p < hi; p++ {
			row := ys[p*(ca+cb) : (p+1)*(ca+cb)]
			copy(as[p*ca:(p+1)*ca], row)
			copy(bs[p*cb:(p+1)*cb], row[ca:])
		}
	})
	return a, b
}
