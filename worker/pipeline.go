package worker

import (
	"context"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/kernel"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/sampler"
	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
	"github.com/ddpm-cluster/ddpm-cluster/storage"
	"github.com/ddpm-cluster/ddpm-cluster/storage/checkpoint"
	"github.com/ddpm-cluster/ddpm-cluster/storage/safetensors"
)

// previews is how many images of a size a checkpoint's samples.png shows. One of
// 256x256 takes a CPU minutes.
func previews(size int) int {
	if size > 64 {
		return 4
	}
	return 16
}

// writePipeline stores what makes the checkpoint's folder a DDPMPipeline: the
// averaged weights under diffusers' names, and three descriptions.
func writePipeline(ctx context.Context, store storage.Store, r *run, step uint64, ema []float32) ([]checkpoint.Object, error) {
	network, err := r.spec.Model.DiffusersJSON()
	if err != nil {
		return nil, err
	}
	scheduler, err := r.spec.Diffusion.DiffusersJSON()
	if err != nil {
		return nil, err
	}
	p := checkpoint.Pipeline{Index: ddpm.ModelIndexJSON(), UNet: network, Scheduler: scheduler}
	for _, param := range r.spec.Model.Params() {
		p.Tensors = append(p.Tensors, safetensors.Tensor{Name: param.Name, Shape: param.Shape, Data: ema[param.Offset : param.Offset+param.Len()]})
	}
	return checkpoint.WritePipeline(ctx, store, r.name, step, p)
}

// draw draws the member's share of the preview: the images whose number is its
// rank modulo the members' count. It has a pool of its own, since the training
// loop's serves the training loop.
func draw(ctx context.Context, r *run, c *snapshot) ([]*ddpmv1.Preview, error) {
	var images []uint32
	for i := c.rank; i < previews(r.spec.Model.Size); i += c.size {
		images = append(images, uint32(i))
	}
	if len(images) == 0 {
		return nil, nil
	}
	pool := kernel.NewPool(r.threads)
	defer pool.Close()
	pixels, err := sampler.Preview(ctx, r.spec, c.ema, pool, images)
	if err != nil {
		return nil, err
	}
	out := make([]*ddpmv1.Preview, len(images))
	for i, n := range images {
		out[i] = &ddpmv1.Preview{Index: n, Pixels: pixels[i]}
	}
	return out, nil
}
