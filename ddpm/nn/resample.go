package nn

import "github.com/ddpm-cluster/ddpm-cluster/ddpm/kernel"

// Upsample doubles height and width, each pixel repeated (nearest).
func (e *Engine) Upsample(x Tensor) Tensor {
	n, h, w, c := dims(x)
	y := e.New(n, 2*h, 2*w, c)
	xs, ys := x.Float32s(), y.Float32s()
	e.split(n*h, 4*w*c, func(lo, hi int) {
		for r := lo; r < hi; r++ {
			top := ys[2*r*2*w*c : (2*r+1)*2*w*c]
			for p := range w {
				pixel := xs[(r*w+p)*c : (r*w+p+1)*c]
				copy(top[2*p*c:], pixel)
				copy(top[(2*p+1)*c:], pixel)
			}
			copy(ys[(2*r+1)*2*w*c:(2*r+2)*2*w*c], top)
		}
	})
	return y
}

// UpsampleGrad is the gradient by Upsample's input: each pixel gets the sum over
// its four copies, (top left + top right) + (bottom left + bottom right).
func (e *Engine) UpsampleGrad(dy Tensor) Tensor {
	n, h2, w2, c := dims(dy)
	h, w := h2/2, w2/2
	dx := e.New(n, h, w, c)
	ds, gs := dx.Float32s(), dy.Float32s()
	e.split(n*h, 4*w*c, func(lo, hi int) {
		bottom := make([]float32, c)
		for r := lo; r < hi; r++ {
			for p := range w {
				pixel := ds[(r*w+p)*c : (r*w+p+1)*c]
				up, down := (2*r*w2+2*p)*c, ((2*r+1)*w2+2*p)*c
				kernel.Add(pixel, gs[up:up+c], gs[up+c:up+2*c])
				kernel.Add(bottom, gs[down:down+c], gs[down+c:down+2*c])
				kernel.AddTo(pixel, bottom)
			}
		}
	})
	return dx
}

func dims(x Tensor) (n, h, w, c int) {
	s := x.Shape()
	return s[0], s[1], s[2], s[3]
}
