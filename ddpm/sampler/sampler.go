package sampler

import (
	"context"
	"fmt"
	"math"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/diffusion"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/rng"
)

// Predictor is the trained network: eps_theta(x_t, t) for len(t) images that lie
// one after another in x. classes has the class of each image, or is nil for a
// model without classes and for the prediction without one. The result is valid
// until the next call.
type Predictor interface {
	Predict(x []float32, t, classes []int) []float32
}

// Model is what images are drawn from.
type Model struct {
	Predictor Predictor
	Tables    *diffusion.Tables
	// ImageLen counts the values of an image.
	ImageLen int
	// Classes counts the classes that the model was trained with; 0 is none.
	Classes int
	// Free says that the model predicts without a class too, which guidance needs.
	Free bool
}

// Watch is what a drawing tells on the way; either may be nil.
type Watch struct {
	// Evaluated hears of every evaluation of the network: on how many images it was
	// evaluated so far, each time counting, and how many that will be.
	Evaluated func(done, of int)
	// Seen gets the image of a number before evaluation k of its own evaluations: its
	// x_t, and the x̂_0 that the network sees in it. Both are valid during the call.
	Seen func(image uint32, k, of int, xt, x0 []float32)
}

// A batch has maxBatch images at most where nobody chose another size, and fewer
// where they are larger than those of the paper's small models.
const (
	maxBatch   = 16
	batchElems = maxBatch * 32 * 32 * 3
)

func (c Config) batch(imageLen int) int {
	if c.Batch > 0 {
		return c.Batch
	}
	return min(max(batchElems/imageLen, 1), maxBatch)
}

// Draw returns the images of the given numbers, each ImageLen values around
// [-1, 1]. Beside errors of the config it ends early only when ctx does.
func Draw(ctx context.Context, m Model, c Config, images []uint32, w Watch) ([][]float32, error) {
	if err := c.Validate(m.Tables.Config, m.Classes); err != nil {
		return nil, err
	}
	if c.Guidance != 1 && !m.Free {
		return nil, fmt.Errorf("guidance %g: the model was trained without label dropout, so it can't predict without a class; it must be 1", c.Guidance)
	}
	batch, n := c.batch(m.ImageLen), m.ImageLen
	d := drawing{m: m, c: c, w: w}
	out := make([][]float32, 0, len(images))
	for lo := 0; lo < len(images); lo += batch {
		solver, err := NewSolver(c, m.Tables)
		if err != nil {
			return nil, err
		}
		d.of = len(solver.Timesteps()) * len(images)
		x, err := d.draw(ctx, solver, images[lo:min(lo+batch, len(images))])
		if err != nil {
			return nil, fmt.Errorf("draw image %d: %w", images[lo], err)
		}
		for i := 0; i < len(x); i += n {
			out = append(out, x[i:i+n:i+n])
		}
	}
	return out, nil
}

type drawing struct {
	m        Model
	c        Config
	w        Watch
	done, of int
}

// draw takes one batch from x_T to x_0.
func (d *drawing) draw(ctx context.Context, solver Solver, images []uint32) ([]float32, error) {
	n := d.m.ImageLen
	x := make([]float32, len(images)*n)
	x0, z := make([]float32, len(x)), make([]float32, len(x))
	for i, image := range images {
		d.c.start(x[i*n:(i+1)*n], image)
	}
	p := d.prediction(images)
	for k, t := range solver.Timesteps() {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		eps := p.eps(x, t)
		predictX0(x0, x, eps, d.m.Tables.AlphaBar[t], d.c.Clip)
		d.tell(images, k, len(solver.Timesteps()), x, x0)
		if solver.Noisy(k) {
			for i, image := range images {
				rng.Normals(z[i*n:(i+1)*n], d.c.Seed, rng.SampleNoise, uint64(t), image)
			}
		}
		solver.Step(k, x, eps, x0, z)
	}
	return x, nil
}

// tell reports evaluation k.
func (d *drawing) tell(images []uint32, k, of int, x, x0 []float32) {
	d.done += len(images)
	if d.w.Evaluated != nil {
		d.w.Evaluated(d.done, d.of)
	}
	if d.w.Seen == nil {
		return
	}
	n := d.m.ImageLen
	for i, image := range images {
		d.w.Seen(image, k, of, x[i*n:(i+1)*n], x0[i*n:(i+1)*n])
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
