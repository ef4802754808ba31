package sampler

import (
	"context"
	"fmt"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/kernel"
)

// previewSeed starts every preview from the same noise, so that the pictures of
// successive checkpoints show the same images getting better.
const previewSeed = 0

// Preview draws the given images of a checkpoint's preview from the averaged
// weights by DDIM: Size·Size·InChannels bytes each, rows first.
func Preview(ctx context.Context, spec ddpm.Spec, ema []float32, pool *kernel.Pool, images []uint32) ([][]uint8, error) {
	c := Defaults(DDIM, spec.Diffusion)
	c.Seed = previewSeed
	xs, err := Draw(ctx, NewModel(spec, ema, pool), c, images, Watch{})
	if err != nil {
		return nil, fmt.Errorf("preview: %w", err)
	}
	pixels := make([][]uint8, len(xs))
	for i, x := range xs {
		pixels[i] = Pixels(x)
	}
	return pixels, nil
}
