package ddpm

import (
	"fmt"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/dataset"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/rng"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/unet"
)

// Batch holds a shard's inputs, channels last: element i of example e is at
// e·ImageLen + i.
type Batch struct {
	// X0 are the images in [-1, 1]; Eps the noise.
	X0, Eps []float32
	// T are the timesteps; Classes the rows of the class embedding, nil for a model
	// without classes.
	T, Classes []int
	pixels     []uint8
}

// Load fills the batch for a shard: reads the images, mirrors those that the plan
// mirrors, and draws their noise.
func (b *Batch) Load(s Spec, data dataset.Dataset, shard []Example) error {
	n := s.Model.ImageLen()
	b.resize(len(shard), n)
	if err := b.loadClasses(s, data, shard); err != nil {
		return err
	}
	for e, ex := range shard {
		if err := data.Example(int(ex.Index), b.pixels); err != nil {
			return fmt.Errorf("read example %d of %s: %w", ex.Index, data.URI(), err)
		}
		x0 := b.X0[e*n : (e+1)*n]
		if ex.Flip {
			flipRows(b.pixels, s.Model.Size, s.Model.InChannels)
		}
		for i, v := range b.pixels {
			x0[i] = float32(v)/127.5 - 1
		}
		rng.Normals(b.Eps[e*n:(e+1)*n], s.Seed, rng.Noise, ex.Step, ex.Slot)
		b.T[e] = ex.T
	}
	return nil
}

func (b *Batch) resize(examples, imageLen int) {
	if cap(b.X0) < examples*imageLen {
		b.X0 = make([]float32, examples*imageLen)
		b.Eps = make([]float32, examples*imageLen)
	}
	if cap(b.T) < examples {
		b.T = make([]int, examples)
	}
	b.X0, b.Eps, b.T = b.X0[:examples*imageLen], b.Eps[:examples*imageLen], b.T[:examples]
	if len(b.pixels) != imageLen {
		b.pixels = make([]uint8, imageLen)
	}
}

// Want is what a dataset has to offer for the model.
func Want(model unet.Config) dataset.Want {
	return dataset.Want{
		Size: model.Size, Channels: model.InChannels, Labels: model.ClassEmbeds > 0,
		Fits: func(s dataset.Shape) []string {
			var names []string
			for _, p := range Presets() {
				if m := p.Spec.Model; m.Size == s.Height && m.Size == s.Width && m.InChannels == s.Channels {
					names = append(names, p.Spec.Preset)
				}
			}
			return names
		},
	}
}

// flipRows mirrors a square image, rows first, channels last.
func flipRows(pixels []uint8, size, channels int) {
	for y := range size {
		row := pixels[y*size*channels : (y+1)*size*channels]
		for l, r := 0, size-1; l < r; l, r = l+1, r-1 {
			for c := range channels {
				row[l*channels+c], row[r*channels+c] = row[r*channels+c], row[l*channels+c]
			}
		}
	}
}
