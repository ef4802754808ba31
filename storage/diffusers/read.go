package diffusers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/ddpm-cluster/ddpm-cluster/storage"
	"github.com/ddpm-cluster/ddpm-cluster/storage/safetensors"
)

// Folder is what a folder holds.
type Folder struct {
	// UNet and Scheduler are the descriptions, JSON.
	UNet, Scheduler []byte
	// Tensors are the weights by their names in the file.
	Tensors map[string]safetensors.Tensor
}

const (
	weightsName = "diffusion_pytorch_model.safetensors"
	indexName   = weightsName + ".index.json"
	pickleName  = "diffusion_pytorch_model.bin"
)

// maxText bounds, in bytes, what is read as a description or an index.
const maxText = 16 << 20

// Read reads a folder.
func Read(ctx context.Context, st storage.Store) (*Folder, error) {
	f := &Folder{Tensors: map[string]safetensors.Tensor{}}
	config, text, err := first(ctx, st, "unet/config.json", "config.json")
	if errors.Is(err, storage.ErrNotFound) {
		return nil, fmt.Errorf("%s is no folder of diffusers: it has neither unet/config.json nor config.json", st)
	}
	if err != nil {
		return nil, err
	}
	f.UNet = text
	_, f.Scheduler, err = first(ctx, st, "scheduler/scheduler_config.json", "scheduler_config.json")
	if errors.Is(err, storage.ErrNotFound) {
		return nil, fmt.Errorf("%s is no folder of a diffusers pipeline: it has neither scheduler/scheduler_config.json nor scheduler_config.json, which say how noise is added", st)
	}
	if err != nil {
		return nil, err
	}
	if err := f.readWeights(ctx, st, path.Dir(config)); err != nil {
		return nil, err
	}
	return f, nil
}

// first reads the first of the keys that is there.
func first(ctx context.Context, st storage.Store, keys ...string) (key string, text []byte, err error) {
	for _, key := range keys {
		text, err = readText(ctx, st, key)
		if !errors.Is(err, storage.ErrNotFound) {
			return key, text, err
		}
	}
	return "", nil, err
}

func readText(ctx context.Context, st storage.Store, key string) ([]byte, error) {
	r, info, err := st.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	if info.Size > maxText {
		return nil, errors.Join(fmt.Errorf("%s has %d bytes, more than a description has", key, info.Size), r.Close())
	}
	text, err := io.ReadAll(r)
	if err = errors.Join(err, r.Close()); err != nil {
		return nil, fmt.Errorf("read %s: %w", key, err)
	}
	return text, nil
}

// readWeights reads the one file of weights, or all shards that an index names.
func (f *Folder) readWeights(ctx context.Context, st storage.Store, dir string) error {
	at := func(name string) string { return strings.TrimPrefix(path.Join(dir, name), "./") }
	err := f.readFile(ctx, st, at(weightsName), nil)
	if !errors.Is(err, storage.ErrNotFound) {
		return err
	}
	text, err := readText(ctx, st, at(indexName))
	if errors.Is(err, storage.ErrNotFound) {
		return f.noWeights(ctx, st, at)
	}
	if err != nil {
		return err
	}
	shards, err := parseIndex(text)
	if err != nil {
		return fmt.Errorf("%s in %s: %w", at(indexName), st, err)
	}
	for _, name := range slices.Sorted(maps.Keys(shards)) {
		if err := f.readFile(ctx, st, at(name), shards[name]); err != nil {
			return err
		}
	}
	return nil
}

func (f *Folder) noWeights(ctx context.Context, st storage.Store, at func(string) string) error {
	infos, err := st.List(ctx, at(pickleName))
	if err != nil {
		return err
	}
	if len(infos) > 0 {
		return fmt.Errorf("%s has %s, which may run code when it is read; in Python, save it with pipeline.save_pretrained(folder, safe_serialization=True)", st, at(pickleName))
	}
	return fmt.Errorf("%s has no %s", st, at(weightsName))
}

// parseIndex gives the tensors that each shard has to hold.
func parseIndex(text []byte) (map[string][]string, error) {
	var index struct {
		WeightMap map[string]string `json:"weight_map"`
	}
	if err := json.Unmarshal(text, &index); err != nil {
		return nil, fmt.Errorf("it is no index of weights: %w", err)
	}
	if len(index.WeightMap) == 0 {
		return nil, errors.New("it names no weights")
	}
	shards := map[string][]string{}
	for tensor, name := range index.WeightMap {
		if name != path.Base(name) || !strings.HasSuffix(name, ".safetensors") {
			return nil, fmt.Errorf("%q is no .safetensors file beside it", name)
		}
		shards[name] = append(shards[name], tensor)
	}
	return shards, nil
}

// readFile reads a file's tensors; those of wanted have to be there.
func (f *Folder) readFile(ctx context.Context, st storage.Store, key string, wanted []string) error {
	r, info, err := st.Get(ctx, key)
	if err != nil {
		return err
	}
	err = f.readTensors(r, info.Size)
	if err = errors.Join(err, r.Close()); err != nil {
		return fmt.Errorf("%s in %s: %w", key, st, err)
	}
	for _, name := range wanted {
		if _, ok := f.Tensors[name]; !ok {
			return fmt.Errorf("%s in %s: it lacks %s, which the index puts there", key, st, name)
		}
	}
	return nil
}

func (f *Folder) readTensors(r io.Reader, size int64) error {
	h, err := safetensors.ReadHeader(r, size)
	if err != nil {
		return err
	}
	for _, info := range h.Tensors {
		if _, twice := f.Tensors[info.Name]; twice {
			return fmt.Errorf("%s is in two files", info.Name)
		}
		t, err := safetensors.ReadTensor(r, info)
		if err != nil {
			return err
		}
		f.Tensors[t.Name] = t
	}
	return nil
}
