package sampler

import "slices"

// prediction asks the network for a batch, with and without the images' classes
// where guidance needs both.
type prediction struct {
	p       Predictor
	t       []int
	classes []int
	scale   float64
	free    []float32 // the prediction without classes
}

func (d *drawing) prediction(images []uint32) *prediction {
	p := &prediction{p: d.m.Predictor, t: make([]int, len(images)), scale: d.c.Guidance}
	if d.m.Classes > 0 {
		for _, image := range images {
			p.classes = append(p.classes, d.c.Class(int(image), d.m.Classes))
		}
	}
	return p
}

// eps predicts at one timestep: eps(no class) + w·(eps(class) - eps(no class)).
func (p *prediction) eps(x []float32, t int) []float32 {
	for i := range p.t {
		p.t[i] = t
	}
	switch {
	case p.classes == nil || p.scale == 1:
		return p.p.Predict(x, p.t, p.classes)
	case p.scale == 0:
		return p.p.Predict(x, p.t, nil)
	}
	p.free = append(slices.Grow(p.free[:0], len(x)), p.p.Predict(x, p.t, nil)...)
	eps := p.p.Predict(x, p.t, p.classes)
	for i, free := range p.free {
		f := float64(free)
		p.free[i] = float32(f + float64(p.scale*(float64(eps[i])-f)))
	}
	return p.free
}
