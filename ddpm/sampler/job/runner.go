package job

import (
	"context"
	"fmt"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/sampler"
)

// Image is a drawn image of a job.
type Image struct {
	Number int
	// Class is the class that it was drawn for; 0 where the model has none.
	Class int
	// Pixels are Size·Size·InChannels bytes, rows first, channels last.
	Pixels []uint8
	// Frames show how it came to be, for the first TrajectoryImages of a job that
	// has frames.
	Frames []Frame
}

// Frame is a moment of the way to an image, in pixels as Image has them: what the
// network saw, and the x̂_0 that it saw in it.
type Frame struct{ XT, X0 []uint8 }

// Progress is how far a task is.
type Progress struct {
	// Done counts evaluations of the network on one image, of Of in the whole task.
	Done, Of int
}

// Runner draws the tasks of jobs from one checkpoint's model. It serves one goroutine.
type Runner struct {
	spec  ddpm.Spec
	model sampler.Model
	batch int
}

// NewRunner draws from a model of the spec's. batch is how many images go through the
// network at once; 0 chooses by their size alone, sampler.BatchFor by the machine.
func NewRunner(spec ddpm.Spec, model sampler.Model, batch int) *Runner {
	return &Runner{spec: spec, model: model, batch: batch}
}

// Run draws a task's images, in the order of their numbers. progress, if not nil,
// hears of every evaluation. Beside a job or a task that is not valid, only the end
// of ctx is an error.
func (r *Runner) Run(ctx context.Context, j Job, t Task, progress func(Progress)) ([]Image, error) {
	if err := j.Validate(r.spec); err != nil {
		return nil, err
	}
	if err := j.Check(t); err != nil {
		return nil, err
	}
	numbers, images := make([]uint32, t.Count), make([]Image, t.Count)
	for i := range numbers {
		numbers[i] = uint32(t.First + i)
		images[i] = Image{Number: t.First + i, Class: j.Settings.Class(t.First+i, r.model.Classes)}
	}
	c := j.Settings
	c.Batch = r.batch
	w := sampler.Watch{}
	if progress != nil {
		w.Evaluated = func(done, of int) { progress(Progress{Done: done, Of: of}) }
	}
	if j.Frames > 0 && t.First < TrajectoryImages {
		w.Seen = func(image uint32, k, of int, xt, x0 []float32) {
			if image < TrajectoryImages && framed(k, of, j.Frames) {
				im := &images[int(image)-t.First]
				im.Frames = append(im.Frames, Frame{XT: sampler.Pixels(xt), X0: sampler.Pixels(x0)})
			}
		}
	}
	xs, err := sampler.Draw(ctx, r.model, c, numbers, w)
	if err != nil {
		return nil, fmt.Errorf("task of %d images from %d on: %w", t.Count, t.First, err)
	}
	for i, x := range xs {
		images[i].Pixels = sampler.Pixels(x)
	}
	return images, nil
}

// framed says whether evaluation k of so many is one of the frames, which are
// spread evenly, the first evaluation among them.
func framed(k, of, frames int) bool {
	frames = min(frames, of)
	return k == 0 || k*frames/of != (k-1)*frames/of
}
