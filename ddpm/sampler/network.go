package sampler

import (
	"context"
	"fmt"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/diffusion"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/kernel"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/unet"
)

// Network is the Predictor of a run's weights.
type Network struct{ net *unet.Net }

// NewNetwork lays out weights, a flat vector in the order of unet.Config.Params;
// the network reads them for as long as it lives.
func NewNetwork(model unet.Config, weights []float32, pool *kernel.Pool) *Network {
	n := &Network{net: unet.New(model, pool)}
	n.net.SetWeights(weights)
	return n
}

// Predict implements Predictor.
func (n *Network) Predict(x []float32, t []int) []float32 {
	return n.net.Forward(x, t, unet.Sampling())
}

// PreviewSteps is how many DDIM steps a checkpoint's preview takes.
const PreviewSteps = 50

// previewSeed starts every preview from the same noise, so that the pictures of
// successive checkpoints show the same images getting better.
const previewSeed = 0

// Preview draws the given images of a checkpoint's preview from the averaged
// weights: Size·Size·InChannels bytes each, rows first.
func Preview(ctx context.Context, spec ddpm.Spec, ema []float32, pool *kernel.Pool, images []uint32) ([][]uint8, error) {
	c := Config{Method: DDIM, Steps: min(PreviewSteps, spec.Diffusion.Steps), Seed: previewSeed}
	xs, err := Draw(ctx, NewNetwork(spec.Model, ema, pool), diffusion.NewTables(spec.Diffusion), c, spec.Model.ImageLen(), images, nil)
	if err != nil {
		return nil, fmt.Errorf("preview: %w", err)
	}
	pixels := make([][]uint8, len(xs))
	for i, x := range xs {
		pixels[i] = Pixels(x)
	}
	return pixels, nil
}
