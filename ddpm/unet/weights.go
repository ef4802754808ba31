package unet

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ddpm-cluster/ddpm-cluster/internal/hugepages"
)

// Tensor is a parameter as a file has it: len(Data) is the product of Shape.
type Tensor struct {
	Shape []int
	Data  []float32
}

// oldAttention are the names that diffusers gave attention's layers in 2022, and
// what they are called since.
func oldAttention() map[string]string {
	return map[string]string{"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
}

// currentName is a parameter's name since 2023.
func currentName(name string) string {
	parts := strings.Split(name, ".")
	if !slices.Contains(parts[:len(parts)-1], "attentions") {
		return name
	}
	if now, ok := oldAttention()[parts[len(parts)-2]]; ok {
		parts[len(parts)-2] = now
	}
	return strings.Join(parts, ".")
}

// duplicate says that a tensor is one that old files hold twice: a downsampling
// convolution was also called Conv2d_0.
func duplicate(name string) bool { return strings.Contains(name, ".Conv2d_0.") }

// Flatten puts tensors with diffusers' names, the present ones or those of 2022,
// into the flat parameter vector. All of the network's have to be there in their
// shapes, and no others.
func (c Config) Flatten(tensors map[string]Tensor) ([]float32, error) {
	byName := make(map[string]Tensor, len(tensors))
	for _, name := range slices.Sorted(maps.Keys(tensors)) {
		if duplicate(name) {
			continue
		}
		now := currentName(name)
		if _, twice := byName[now]; twice {
			return nil, fmt.Errorf("%s is there twice, also by its name of 2022", now)
		}
		byName[now] = tensors[name]
	}
	params := c.Params()
	for _, p := range params { // before memory is taken for what may not be there
		t, ok := byName[p.Name]
		if !ok {
			return nil, fmt.Errorf("it lacks the tensor %s, which its config asks for", p.Name)
		}
		if !slices.Equal(squeezed(t.Shape), squeezed(p.Shape)) || len(t.Data) != p.Len() {
			return nil, fmt.Errorf("the tensor %s has shape %v, its config asks for %v", p.Name, t.Shape, p.Shape)
		}
	}
	flat := hugepages.Make[float32](c.ParamCount())
	for _, p := range params {
		copy(flat[p.Offset:], byName[p.Name].Data)
		delete(byName, p.Name)
	}
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		return nil, fmt.Errorf("it has the tensor %s, which its config does not ask for", name)
	}
	return flat, nil
}

// squeezed is a shape without the trailing ones that make a linear layer a
// convolution.
func squeezed(shape []int) []int {
	for len(shape) > 2 && shape[len(shape)-1] == 1 {
		shape = shape[:len(shape)-1]
	}
	return shape
}
