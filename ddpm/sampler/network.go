package sampler

import (
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
func (n *Network) Predict(x []float32, t, classes []int) []float32 {
	return n.net.Forward(x, t, unet.Sampling().WithClasses(classes))
}

// NewModel is the Model of a run's weights.
func NewModel(spec ddpm.Spec, weights []float32, pool *kernel.Pool) Model {
	return Model{
		Predictor: NewNetwork(spec.Model, weights, pool),
		Tables:    diffusion.NewTables(spec.Diffusion),
		ImageLen:  spec.Model.ImageLen(),
		Classes:   spec.Classes(),
		Free:      spec.Classes() == 0 || spec.LabelDropout > 0,
	}
}
