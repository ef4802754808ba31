package evaluate

import (
	"context"
	"fmt"
	"slices"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/dataset"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/rng"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/sampler"
)

// Row holds an image's sums over the timesteps of one row of the report.
type Row struct {
	// Weight counts the timesteps that were evaluated or stood for.
	Weight float64 `json:"weight"`
	// Bits sums L_t, X0 and Eps the mean squared errors of x_0 and of the noise.
	Bits float64 `json:"bits"`
	X0   float64 `json:"x0"`
	Eps  float64 `json:"eps"`
}

// Result is what a job measures of one image.
type Result struct {
	Image int     `json:"image"`
	Prior float64 `json:"prior"` // L_T, bits a dimension
	Rows  []Row   `json:"rows"`  // t = 0, then the bins
}

// Runner measures tasks of jobs with one checkpoint's model. It serves one goroutine.
type Runner struct {
	spec  ddpm.Spec
	data  dataset.Dataset
	model sampler.Model
	batch int
}

// NewRunner measures a model of the spec's on a dataset. batch is how many evaluations
// go through the network at once, at least 1; it changes no result.
func NewRunner(spec ddpm.Spec, model sampler.Model, data dataset.Dataset, batch int) *Runner {
	return &Runner{spec: spec, data: data, model: model, batch: max(batch, 1)}
}

// Run measures a task's images. progress, if not nil, hears how many evaluations
// are done of how many.
func (r *Runner) Run(ctx context.Context, j Job, t Task, progress func(done, of int)) ([]Result, error) {
	if err := j.Validate(r.spec.Diffusion, r.data.Len()); err != nil {
		return nil, err
	}
	if err := j.Check(t); err != nil {
		return nil, err
	}
	results := make([]Result, t.Count)
	for i := range results {
		if err := r.image(ctx, j, t.First+i, &results[i], func(done int) {
			if progress != nil {
				progress(i*j.Terms+done, t.Count*j.Terms)
			}
		}); err != nil {
			return nil, fmt.Errorf("evaluate image %d of %s: %w", t.First+i, r.data.URI(), err)
		}
	}
	return results, nil
}

// image measures one image, some of its timesteps at once.
func (r *Runner) image(ctx context.Context, j Job, image int, out *Result, progress func(done int)) error {
	n, T := r.spec.Model.ImageLen(), r.spec.Diffusion.Steps
	pixels, x0 := make([]uint8, n), make([]float32, n)
	if err := r.data.Example(image, pixels); err != nil {
		return err
	}
	for i, v := range pixels {
		x0[i] = float32(v)/127.5 - 1
	}
	var class []int
	if r.model.Classes > 0 {
		label, err := ddpm.Label(r.spec, r.data, image)
		if err != nil {
			return err
		}
		class = slices.Repeat([]int{label}, r.batch)
	}
	b := bound{tables: r.model.Tables, variance: j.Variance}
	*out = Result{Image: image, Prior: b.prior(x0), Rows: make([]Row, j.Bins+1)}
	eps, xt := make([]float32, r.batch*n), make([]float32, r.batch*n)
	ts, weights := make([]int, 0, r.batch), make([]float64, 0, r.batch)
	for lo := 0; lo < j.Terms; lo += r.batch {
		if err := ctx.Err(); err != nil {
			return err
		}
		hi := min(lo+r.batch, j.Terms)
		ts, weights = ts[:0], weights[:0]
		for k := lo; k < hi; k++ {
			t, w := j.choose(image, k, T)
			ts, weights = append(ts, t), append(weights, w)
			at := (k - lo) * n
			rng.Normals(eps[at:at+n], j.Seed, rng.EvalNoise, uint64(t), uint32(image))
			b.tables.QSample(xt[at:at+n], x0, eps[at:at+n], t)
		}
		predicted := r.model.Predictor.Predict(xt[:len(ts)*n], ts, classes(class, len(ts)))
		for i, t := range ts {
			m := b.measure(t, x0, xt[i*n:(i+1)*n], eps[i*n:(i+1)*n], predicted[i*n:(i+1)*n])
			out.Rows[j.bin(t, T)].add(weights[i], m)
		}
		progress(hi)
	}
	return nil
}

func (r *Row) add(w float64, m measured) {
	r.Weight += w
	r.Bits += float64(w * m.bits)
	r.X0 += float64(w * m.x0)
	r.Eps += float64(w * m.eps)
}

// classes is nil for a model without them.
func classes(class []int, n int) []int {
	if class == nil {
		return nil
	}
	return class[:n]
}
