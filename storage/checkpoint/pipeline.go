package checkpoint

import (
	"context"

	"github.com/ddpm-cluster/ddpm-cluster/storage"
	"github.com/ddpm-cluster/ddpm-cluster/storage/safetensors"
)

// Pipeline is what makes a checkpoint's folder a DDPMPipeline of diffusers: the
// averaged weights under diffusers' names, and three descriptions, JSON.
type Pipeline struct {
	Index, UNet, Scheduler []byte
	Tensors                []safetensors.Tensor
}

// WritePipeline writes a pipeline's objects.
func WritePipeline(ctx context.Context, st storage.Store, run string, step uint64, p Pipeline) ([]Object, error) {
	weights, err := WriteTensors(ctx, st, run, step, UNetWeightsKey, p.Tensors)
	if err != nil {
		return nil, err
	}
	objects := []Object{weights}
	for _, text := range []struct {
		key     string
		content []byte
	}{
		{UNetConfigKey, p.UNet},
		{SchedulerConfigKey, p.Scheduler},
		{ModelIndexKey, p.Index},
	} {
		o, err := WriteObject(ctx, st, run, step, text.key, "application/json", text.content)
		if err != nil {
			return nil, err
		}
		objects = append(objects, o)
	}
	return objects, nil
}
