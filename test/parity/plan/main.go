// Command plan writes what a run computes on, for a trainer that is not ours: the
// initial weights and, for every step, the images, the noise and the timesteps.
//
//	plan --spec STORE/runs/NAME/run.json --steps N --out DIR
//
// DIR gets plan.json and, little-endian: weights.bin (float32, the flat parameter
// vector), x0.bin and eps.bin (float32, [steps, batch, H, W, C], mirrored where
// the plan says so) and t.bin (int32, [steps, batch]).
package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/dataset"
)

func main() {
	specPath := flag.String("spec", "", "the run.json of the run")
	steps := flag.Uint64("steps", 300, "how many steps")
	out := flag.String("out", "", "folder to write to; it is made")
	flag.Parse()
	if *specPath == "" || *out == "" || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(context.Background(), *specPath, *steps, *out); err != nil {
		fmt.Fprintln(os.Stderr, "plan:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, specPath string, steps uint64, out string) error {
	text, err := os.ReadFile(specPath)
	if err != nil {
		return err
	}
	spec, err := ddpm.DecodeSpec(text)
	if err != nil {
		return fmt.Errorf("%s: %w", specPath, err)
	}
	data, err := dataset.Open(ctx, spec.Dataset, dataset.Want{Size: spec.Model.Size, Channels: spec.Model.InChannels})
	if err != nil {
		return err
	}
	if data.Digest() != spec.DatasetDigest {
		return fmt.Errorf("%s has digest %s, the run was made with %s", data.URI(), data.Digest(), spec.DatasetDigest)
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	if err := writeIndex(spec, steps, filepath.Join(out, "plan.json")); err != nil {
		return err
	}
	if err := writeFile(out, "weights.bin", func(w io.Writer) error {
		return writeFloats(w, ddpm.NewState(spec).Weights)
	}); err != nil {
		return err
	}
	return writeBatches(spec, data, steps, out)
}

// index is plan.json.
type index struct {
	Spec   ddpm.Spec `json:"spec"`
	Steps  uint64    `json:"steps"`
	Params []param   `json:"params"`
}

type param struct {
	Name  string `json:"name"`
	Shape []int  `json:"shape"`
}

func writeIndex(spec ddpm.Spec, steps uint64, path string) error {
	ix := index{Spec: spec, Steps: steps}
	for _, p := range spec.Model.Params() {
		ix.Params = append(ix.Params, param{Name: p.Name, Shape: p.Shape})
	}
	text, err := json.MarshalIndent(ix, "", " ")
	if err != nil {
		return fmt.Errorf("encode %s: %w", path, err)
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}

func writeBatches(spec ddpm.Spec, data dataset.Dataset, steps uint64, out string) error {
	return writeFile(out, "x0.bin", func(x0 io.Writer) error {
		return writeFile(out, "eps.bin", func(eps io.Writer) error {
			return writeFile(out, "t.bin", func(t io.Writer) error {
				for step := range steps {
					if err := writeBatch(spec, data, step, x0, eps, t); err != nil {
						return fmt.Errorf("step %d: %w", step, err)
					}
				}
				return nil
			})
		})
	})
}

// writeBatch writes the step's shards one after another, which is the batch in
// the order of its slots.
func writeBatch(spec ddpm.Spec, data dataset.Dataset, step uint64, x0, eps, t io.Writer) error {
	plan := ddpm.PlanStep(spec, step)
	var b ddpm.Batch
	for v := range spec.Shards() {
		if err := b.Load(spec, data, plan.Shard(v)); err != nil {
			return err
		}
		timesteps := make([]int32, len(b.T))
		for i, ts := range b.T {
			timesteps[i] = int32(ts)
		}
		if err := errors.Join(
			writeFloats(x0, b.X0),
			writeFloats(eps, b.Eps),
			binary.Write(t, binary.LittleEndian, timesteps),
		); err != nil {
			return err
		}
	}
	return nil
}

func writeFloats(w io.Writer, v []float32) error {
	buf := make([]byte, 0, 4*len(v))
	for _, x := range v {
		buf = binary.LittleEndian.AppendUint32(buf, math.Float32bits(x))
	}
	_, err := w.Write(buf)
	return err
}

// writeFile makes a file of what fill writes.
func writeFile(dir, name string, fill func(io.Writer) error) error {
	f, err := os.Create(filepath.Join(dir, name))
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	if err := errors.Join(fill(w), w.Flush(), f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}
