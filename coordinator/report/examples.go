package report

import (
	"fmt"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/dataset"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/diffusion"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/sampler"
	"github.com/ddpm-cluster/ddpm-cluster/internal/picture"
)

// MaxExamples bounds the examples of a StepExamples.
const MaxExamples = 256

// StepExamples is what a step trains on: the first examples of its (first) batch as the plan
// deals them, and as the network gets them.
type StepExamples struct {
	Run string `json:"run"`
	// Step is how many steps are complete when this one begins.
	Step uint64 `json:"step"`
	// Timesteps is T: a timestep is in 0 … T-1.
	Timesteps int       `json:"timesteps"`
	Examples  []Example `json:"examples"`
}

// Example is one example of a step.
type Example struct {
	// Slot is its place in the batch, Shard the shard that it belongs to.
	Slot  uint32 `json:"slot"`
	Shard int    `json:"shard"`
	// Index is its number in the dataset.
	Index uint64 `json:"index"`
	T     int    `json:"t"`
	// Flip says that it is mirrored.
	Flip bool `json:"flip"`
	// Class is the row of the class embedding, -1 without classes. A label that the
	// plan drops has the row of no class.
	Class int `json:"class"`
	// AlphaBar is what is left of the image's variance at t.
	AlphaBar float64 `json:"alpha_bar"`
	// X0 is the image and Xt its noised version (equation 4), PNGs of the model's size.
	X0 []byte `json:"x0"`
	Xt []byte `json:"xt"`
}

// Examples makes the first n examples of the step that follows so many complete ones.
// It is a function of the run's config and its dataset alone.
func Examples(run string, spec ddpm.Spec, data dataset.Dataset, step uint64, n int) (*StepExamples, error) {
	if n < 1 || n > MaxExamples {
		return nil, fmt.Errorf("%d examples: must be in 1 … %d", n, MaxExamples)
	}
	out := &StepExamples{Run: run, Step: step, Timesteps: spec.Diffusion.Steps, Examples: []Example{}}
	tables := diffusion.NewTables(spec.Diffusion)
	plan := ddpm.PlanBatch(spec, step, 0)
	var batch ddpm.Batch
	size := spec.Model.ImageLen()
	xt := make([]float32, size)
	for shard := 0; shard < spec.Shards() && len(out.Examples) < n; shard++ {
		examples := plan.Shard(shard)
		examples = examples[:min(len(examples), n-len(out.Examples))]
		if err := batch.Load(spec, data, examples); err != nil {
			return nil, err
		}
		for i, ex := range examples {
			x0 := batch.X0[i*size : (i+1)*size]
			tables.QSample(xt, x0, batch.Eps[i*size:(i+1)*size], ex.T)
			e := Example{Slot: ex.Slot, Shard: shard, Index: ex.Index, T: ex.T, Flip: ex.Flip, Class: -1, AlphaBar: tables.AlphaBar[ex.T]}
			if batch.Classes != nil {
				e.Class = batch.Classes[i]
			}
			var err error
			if e.X0, err = png(spec, x0); err != nil {
				return nil, err
			}
			if e.Xt, err = png(spec, xt); err != nil {
				return nil, err
			}
			out.Examples = append(out.Examples, e)
		}
	}
	return out, nil
}

// png draws values around [-1, 1], pixel for pixel.
func png(spec ddpm.Spec, values []float32) ([]byte, error) {
	return picture.Layout{Columns: 1, Zoom: 1}.PNG([][]uint8{sampler.Pixels(values)}, spec.Model.Size, spec.Model.InChannels)
}
