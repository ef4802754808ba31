package sampler

import (
	"context"
	"fmt"
	"math"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/diffusion"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/rng"
)

// Predictor is the trained network: eps_theta(x_t, t) for len(t) images that lie
// one after another in x. The result is valid until the next call.
type Predictor interface {
	Predict(x []float32, t []int) []float32
}

// Draw returns the images of the given numbers, each imageLen values around
// [-1, 1]. onStep, if not nil, hears of every network evaluation: how many are
// done, of how many. It ends early only when ctx does.
func Draw(ctx context.Context, p Predictor, tables *diffusion.Tables, c Config, imageLen int, images []uint32, onStep func(done, of int)) ([][]float32, error) {
	if err := c.Validate(tables.Config.Steps); err != nil {
		return nil, err
	}
	batch := c.batch(imageLen)
	d := drawing{p: p, tables: tables, c: c, imageLen: imageLen, onStep: onStep}
	d.of = c.Steps * ((len(images) + batch - 1) / batch)
	out := make([][]float32, 0, len(images))
	for lo := 0; lo < len(images); lo += batch {
		x, err := d.draw(ctx, images[lo:min(lo+batch, len(images))])
		if err != nil {
			return nil, fmt.Errorf("draw image %d: %w", images[lo], err)
		}
		for i := 0; i < len(x); i += imageLen {
			out = append(out, x[i:i+imageLen:i+imageLen])
		}
	}
	return out, nil
}

type drawing struct {
	p        Predictor
	tables   *diffusion.Tables
	c        Config
	imageLen int
	onStep   func(done, of int)
	done, of int
}

// draw takes one batch from x_T to x_0.
func (d *drawing) draw(ctx context.Context, images []uint32) ([]float32, error) {
	n := d.imageLen
	x := make([]float32, len(images)*n)
	for i, image := range images {
		rng.Normals(x[i*n:(i+1)*n], d.c.Seed, rng.SampleStart, 0, image)
	}
	z := make([]float32, n)
	t := make([]int, len(images))
	steps := timesteps(d.tables.Config.Steps, d.c.Steps)
	for k, step := range steps {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		prev := -1
		if k+1 < len(steps) {
			prev = steps[k+1]
		}
		for i := range t {
			t[i] = step
		}
		eps := d.p.Predict(x, t)
		move := d.move(step, prev)
		for i, image := range images {
			if move.sigma != 0 {
				rng.Normals(z, d.c.Seed, rng.SampleNoise, uint64(step), image)
			}
			move.apply(x[i*n:(i+1)*n], eps[i*n:(i+1)*n], z)
		}
		d.done++
		if d.onStep != nil {
			d.onStep(d.done, d.of)
		}
	}
	return x, nil
}

// move is one step x_p = x0·x̂_0 + xt·x_t + eps·eps + sigma·z from t to p.
type move struct {
	invSqrtBar, sqrtOneMinusBar float64 // of t: x̂_0 = (x_t - sqrtOneMinusBar·eps)·invSqrtBar
	x0, xt, eps, sigma          float64
}

func (d *drawing) move(t, prev int) move {
	bar, barPrev := d.tables.AlphaBar[t], d.tables.AlphaBarBefore(prev)
	m := move{invSqrtBar: 1 / math.Sqrt(bar), sqrtOneMinusBar: math.Sqrt(1 - bar)}
	if d.c.Method == DDIM {
		// Song et al. 2021, equations 12 and 16.
		sigma := d.c.Eta * math.Sqrt((1-barPrev)/(1-bar)) * math.Sqrt(1-bar/barPrev)
		m.x0 = math.Sqrt(barPrev)
		m.eps = math.Sqrt(1 - barPrev - float64(sigma*sigma))
		m.sigma = sigma
		return m
	}
	post := d.tables.Posterior(t, prev)
	m.x0, m.xt = post.X0, post.Xt
	if prev >= 0 { // the last step adds no noise
		m.sigma = math.Sqrt(post.Variance)
	}
	return m
}

// apply moves one image in place. x̂_0 is clipped to [-1, 1]; eps is not.
func (m move) apply(x, eps, z []float32) {
	for i := range x {
		xi, e := float64(x[i]), float64(eps[i])
		x0 := float64((xi - float64(m.sqrtOneMinusBar*e)) * m.invSqrtBar)
		x0 = max(-1, min(1, x0))
		y := float64(m.x0*x0) + float64(m.xt*xi) + float64(m.eps*e)
		if m.sigma != 0 {
			y += float64(m.sigma * float64(z[i]))
		}
		x[i] = float32(y)
	}
}

// Pixels rounds values around [-1, 1] to bytes: (x + 1)·127.5, clipped.
func Pixels(x []float32) []uint8 {
	p := make([]uint8, len(x))
	for i, v := range x {
		y := math.Floor(float64((float64(v)+1)*127.5) + 0.5)
		p[i] = uint8(max(0, min(255, y)))
	}
	return p
}
