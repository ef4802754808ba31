package initial

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/kernel"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/unet"
	"github.com/ddpm-cluster/ddpm-cluster/storage"
	"github.com/ddpm-cluster/ddpm-cluster/storage/checkpoint"
	"github.com/ddpm-cluster/ddpm-cluster/storage/diffusers"
)

// answer is what diffusers computed, [2, channels, size, size].
type answer struct {
	T      []int     `json:"t"`
	X      []float32 `json:"x"`
	Output []float32 `json:"output"`
}

// The network of a folder computes what diffusers computes of it, in every layout,
// naming and precision.
func TestOutputEqualsDiffusers(t *testing.T) {
	for _, name := range []string{"nested", "old", "defaults", "half"} {
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join("testdata", name+".json"))
			if err != nil {
				t.Fatal(err)
			}
			var want answer
			if err := json.Unmarshal(text, &want); err != nil {
				t.Fatal(err)
			}
			s := mustOpen(t, filepath.Join("testdata", name))
			pool := kernel.NewPool(2)
			defer pool.Close()
			net := unet.New(s.Model, pool)
			net.SetWeights(s.Weights)
			got := net.Forward(transpose(want.X, s.Model, true), want.T, unet.Sampling())
			got = transpose(slices.Clone(got), s.Model, false)
			worst := 0.0
			for i, v := range got {
				worst = max(worst, math.Abs(float64(v-want.Output[i])))
			}
			t.Logf("largest difference %.2g", worst)
			if !(worst <= 1e-5) {
				t.Errorf("the largest difference from diffusers' output is %g", worst)
			}
		})
	}
}

// transpose turns channels-first images into channels-last ones, or back.
func transpose(x []float32, c unet.Config, last bool) []float32 {
	out := make([]float32, len(x))
	pixels, image := c.Size*c.Size, c.ImageLen()
	for i := range x {
		n, rest := i/image, i%image
		from, to := i, n*image+rest%pixels*c.InChannels+rest/pixels
		if !last {
			from, to = to, from
		}
		out[to] = x[from]
	}
	return out
}

func mustOpen(t *testing.T, uri string) *Source {
	t.Helper()
	s, err := Open(t.Context(), uri, 0)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// The same weights by their old names and layout are the same network.
func TestOldAndNewAreTheSame(t *testing.T) {
	now, old := mustOpen(t, "testdata/nested"), mustOpen(t, "testdata/old")
	if now.Digest != old.Digest {
		t.Errorf("digests %s and %s", now.Digest, old.Digest)
	}
	spec := ddpm.Spec{}
	now.Apply(&spec)
	other := ddpm.Spec{}
	old.Apply(&other)
	if d := spec.Differences(other); len(d) > 0 {
		t.Errorf("they differ in %v", d)
	}
}

// A run's first checkpoint is a folder whose every key and shape is diffusers' own,
// and imports again to the same bits.
func TestExportEqualsImport(t *testing.T) {
	for _, name := range []string{"nested", "defaults"} {
		dir := t.TempDir()
		st, err := storage.Open(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		s := mustOpen(t, filepath.Join("testdata", name))
		if err := checkpoint.CreateRun(t.Context(), st, "r", []byte("{}\n")); err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second after one that was cut off
			m, err := s.Publish(t.Context(), st, "r")
			if err != nil {
				t.Fatal(err)
			}
			n := int(m.Params)
			state := ddpm.EmptyState(n)
			err = checkpoint.Load(t.Context(), st, m, checkpoint.State{Weights: state.Weights, M: state.M, V: state.V, EMA: state.EMA})
			if err != nil || ddpm.WeightsDigest(state.Weights) != s.Digest || ddpm.WeightsDigest(state.EMA) != s.Digest || state.Digest() != m.Digest {
				t.Fatalf("%v, or other weights", err)
			}
		}
		folder := filepath.Join(dir, "runs", "r", "checkpoints", "step-00000000")
		again := mustOpen(t, folder)
		if again.Digest != s.Digest {
			t.Errorf("%s: imported again, the digest is %s", name, again.Digest)
		}
		theirs, ours := shapes(t, filepath.Join("testdata", name)), shapes(t, folder)
		for key, shape := range theirs {
			if !slices.Equal(ours[key], shape) {
				t.Errorf("%s: %s is %v, diffusers has %v", name, key, ours[key], shape)
			}
		}
		if len(theirs) != len(ours) {
			t.Errorf("%s: %d tensors, diffusers has %d", name, len(ours), len(theirs))
		}
	}
}

func shapes(t *testing.T, dir string) map[string][]int {
	t.Helper()
	st, err := storage.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	f, err := diffusers.Read(t.Context(), st)
	if err != nil {
		t.Fatal(err)
	}
	shapes := map[string][]int{}
	for name, tensor := range f.Tensors {
		shapes[name] = tensor.Shape
	}
	return shapes
}

// What this version can't compute, or what is not there, is refused by name.
func TestOpenRefuses(t *testing.T) {
	replace := func(file, old, with string) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) {
			name := filepath.Join(dir, file)
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(text), old) {
				t.Fatalf("%s lacks %s", file, old)
			}
			if err := os.WriteFile(name, []byte(strings.Replace(string(text), old, with, 1)), 0o666); err != nil {
				t.Fatal(err)
			}
		}
	}
	remove := func(files ...string) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) {
			for _, file := range files {
				if err := os.Remove(filepath.Join(dir, file)); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	const weights = "unet/diffusion_pytorch_model.safetensors"
	for want, spoil := range map[string]func(t *testing.T, dir string){
		"is no folder of diffusers":            remove("unet/config.json"),
		"which say how noise is added":         remove("scheduler/scheduler_config.json"),
		"has no unet/diffusion_pytorch":        remove(weights),
		"may run code":                         func(t *testing.T, dir string) { rename(t, dir, weights, "unet/diffusion_pytorch_model.bin") },
		"resnet_time_scale_shift is scale":     replace("unet/config.json", `"resnet_time_scale_shift": "default"`, `"resnet_time_scale_shift": "scale_shift"`),
		"num_class_embeds is 10":               replace("unet/config.json", `"num_class_embeds": null`, `"num_class_embeds": 10`),
		"sample_size is null":                  replace("unet/config.json", `"sample_size": 8`, `"sample_size": null`),
		"lacks the tensor down_blocks.0":       replace("unet/config.json", `"layers_per_block": 1`, `"layers_per_block": 2`),
		"prediction_type is v_prediction":      replace("scheduler/scheduler_config.json", `"epsilon"`, `"v_prediction"`),
		`schedule "squaredcos_cap_v2"`:         replace("scheduler/scheduler_config.json", `"linear"`, `"squaredcos_cap_v2"`),
		"thresholding is true":                 replace("scheduler/scheduler_config.json", `"thresholding": false`, `"thresholding": true`),
		"clip_sample_range is 2":               replace("scheduler/scheduler_config.json", `"clip_sample_range": 1.0`, `"clip_sample_range": 2.0`),
		"not a valid safetensors file":         replace(weights, `"F32"`, `"F3"`),
		"unet config: invalid":                 replace("unet/config.json", `{`, `{,`),
		"on the way down and UpBlock2D on the": replace("unet/config.json", `"AttnUpBlock2D"`, `"UpBlock2D"`),
	} {
		t.Run(want, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.CopyFS(dir, os.DirFS("testdata/nested")); err != nil {
				t.Fatal(err)
			}
			spoil(t, dir)
			_, err := Open(t.Context(), dir, 0)
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want %s", err, want)
			}
		})
	}
}

func rename(t *testing.T, dir, from, to string) {
	t.Helper()
	if err := os.Rename(filepath.Join(dir, from), filepath.Join(dir, to)); err != nil {
		t.Fatal(err)
	}
}
