package diffusers

import (
	"maps"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/ddpm-cluster/ddpm-cluster/storage"
)

// An index names files beside it, and nothing else.
func FuzzParseIndex(f *testing.F) {
	for _, text := range []string{
		`{"metadata":{"total_size":8},"weight_map":{"a":"x-00001-of-00002.safetensors","b":"x-00002-of-00002.safetensors"}}`,
		`{"weight_map":{"a":"../x.safetensors"}}`, `{"weight_map":{"a":"x.bin"}}`, `{"weight_map":{}}`, `{"weight_map":[]}`, `{`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		shards, err := parseIndex(text)
		if err != nil {
			return
		}
		for name, tensors := range shards {
			if path.Base(name) != name || len(tensors) == 0 {
				t.Errorf("%s: %q of %d tensors", text, name, len(tensors))
			}
		}
	})
}

func TestShardsThatLack(t *testing.T) {
	empty := "\x08\x00\x00\x00\x00\x00\x00\x00{}      "
	files := map[string]string{
		"unet/config.json": "{}", "scheduler/scheduler_config.json": "{}",
		"unet/diffusion_pytorch_model.safetensors.index.json": `{"weight_map":{"a":"one.safetensors"}}`,
	}
	for want, weights := range map[string]map[string]string{
		"one.safetensors":              nil, // not found
		"it lacks a, which the index":  {"unet/one.safetensors": empty},
		"not a valid safetensors file": {"unet/one.safetensors": "x"},
	} {
		st, err := storage.Open(t.Context(), t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		all := maps.Clone(files)
		maps.Copy(all, weights)
		for _, key := range slices.Sorted(maps.Keys(all)) {
			if _, err := st.Put(t.Context(), key, strings.NewReader(all[key]), int64(len(all[key])), "text/plain"); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := Read(t.Context(), st); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
