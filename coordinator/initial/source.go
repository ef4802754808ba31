package initial

import (
	"context"
	"fmt"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/diffusion"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/unet"
	"github.com/ddpm-cluster/ddpm-cluster/storage"
	"github.com/ddpm-cluster/ddpm-cluster/storage/checkpoint"
	"github.com/ddpm-cluster/ddpm-cluster/storage/diffusers"
	"github.com/ddpm-cluster/ddpm-cluster/storage/safetensors"
)

// Source is a network from elsewhere.
type Source struct {
	Model     unet.Config
	Diffusion diffusion.Config
	// Weights are the flat vector in the order of Model's parameters, Digest is what
	// ddpm.WeightsDigest says of them.
	Weights []float32
	Digest  string
}

// Open reads a folder of diffusers by its URI, a path or s3://bucket/folder?…, as
// storage.Open takes it. dropout is the network's where the folder does not say.
func Open(ctx context.Context, uri string, dropout float64) (*Source, error) {
	st, err := storage.Open(ctx, uri)
	if err != nil {
		return nil, err
	}
	folder, err := diffusers.Read(ctx, st)
	if err != nil {
		return nil, err
	}
	s := &Source{}
	if s.Model, err = unet.ReadDiffusers(folder.UNet, dropout); err != nil {
		return nil, fmt.Errorf("%s: %w", st, err)
	}
	if s.Diffusion, err = diffusion.ReadDiffusers(folder.Scheduler); err != nil {
		return nil, fmt.Errorf("%s: %w", st, err)
	}
	tensors := make(map[string]unet.Tensor, len(folder.Tensors))
	for name, t := range folder.Tensors {
		tensors[name] = unet.Tensor{Shape: t.Shape, Data: t.Data}
	}
	if s.Weights, err = s.Model.Flatten(tensors); err != nil {
		return nil, fmt.Errorf("%s: %w", st, err)
	}
	s.Digest = ddpm.WeightsDigest(s.Weights)
	return s, nil
}

// Apply makes a config that of a run that begins with the network.
func (s *Source) Apply(spec *ddpm.Spec) {
	spec.Model, spec.Diffusion, spec.Init = s.Model, s.Diffusion, s.Digest
}

// Publish writes the checkpoint of step 0 of a run, whose config has been applied
// to, and returns its manifest. What is there already, from a start that was cut off,
// is the same.
func (s *Source) Publish(ctx context.Context, st storage.Store, run string) (checkpoint.Manifest, error) {
	state := ddpm.StateFrom(s.Weights)
	n := int64(len(s.Weights))
	part, err := checkpoint.WritePart(ctx, st, run, 0, 0, 1, checkpoint.Part{
		Total: n, Weights: state.Weights, M: state.M, V: state.V, EMA: state.EMA,
	})
	if err != nil {
		return checkpoint.Manifest{}, err
	}
	p := checkpoint.Pipeline{Index: ddpm.ModelIndexJSON()}
	if p.UNet, err = s.Model.DiffusersJSON(); err != nil {
		return checkpoint.Manifest{}, err
	}
	if p.Scheduler, err = s.Diffusion.DiffusersJSON(); err != nil {
		return checkpoint.Manifest{}, err
	}
	for _, param := range s.Model.Params() {
		p.Tensors = append(p.Tensors, safetensors.Tensor{Name: param.Name, Shape: param.Shape, Data: s.Weights[param.Offset : param.Offset+param.Len()]})
	}
	objects, err := checkpoint.WritePipeline(ctx, st, run, 0, p)
	if err != nil {
		return checkpoint.Manifest{}, err
	}
	m := checkpoint.Manifest{Run: run, Digest: state.Digest(), Params: n, Parts: 1, Objects: append(objects, part)}
	if m.Config, err = checkpoint.ConfigHash(ctx, st, run); err != nil {
		return checkpoint.Manifest{}, err
	}
	if err := checkpoint.Publish(ctx, st, m); err != nil {
		return checkpoint.Manifest{}, err
	}
	return checkpoint.At(ctx, st, run, 0)
}
