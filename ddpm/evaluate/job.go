package evaluate

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/dataset"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/diffusion"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/rng"
)

// Bounds of a job: whoever makes its report has the results of all images in memory, and
// each of them is an object in the Store.
const (
	// MaxImages is on how many images a job measures at most.
	MaxImages = 250_000
	// MaxRows bounds the rows of all results together, of 32 bytes each.
	MaxRows = 1 << 22
)

// Job is what is measured: a checkpoint, on the first N images of a dataset.
type Job struct {
	// Run and Step name the checkpoint, Digest the state that it holds.
	Run    string `json:"run"`
	Step   uint64 `json:"step"`
	Digest string `json:"digest"`
	// Dataset is the URI, DatasetDigest the content.
	Dataset       string `json:"dataset"`
	DatasetDigest string `json:"dataset_digest"`
	// N counts the images, 0 … N-1 of the dataset.
	N int `json:"n"`
	// Terms counts the timesteps that are evaluated for an image: all T, or one of
	// each stratum.
	Terms int `json:"terms"`
	// Bins counts the rows of the report over t, beside t = 0.
	Bins int `json:"bins"`
	// Variance is sigma² of the bound's reverse process.
	Variance string `json:"variance"`
	Seed     uint64 `json:"seed"`
}

// Validate reports everything that is wrong for a process and a dataset of so many
// images.
func (j Job) Validate(process diffusion.Config, images int) error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(j.N > MaxImages || j.N <= images, "n %d: %s has %d images", j.N, j.Dataset, images)
	check(process.Steps >= 2, "the process has %d timestep; there is nothing to sum", process.Steps)
	check(j.Terms >= 2 && j.Terms <= process.Steps, "terms %d: must be in 2 … %d, the timesteps of the model", j.Terms, process.Steps)
	check(j.Bins >= 1 && j.Bins < process.Steps, "bins %d: must be in 1 … %d", j.Bins, process.Steps-1)
	check(j.Variance == diffusion.FixedLarge || j.Variance == diffusion.FixedSmall,
		"variance %q: must be %q or %q", j.Variance, diffusion.FixedLarge, diffusion.FixedSmall)
	return errors.Join(append(errs, j.CheckSize())...)
}

// CheckSize reports whether the job's size can be dealt with, whatever the process and
// the dataset.
func (j Job) CheckSize() error {
	switch {
	case j.N < 2 || j.N > MaxImages:
		return fmt.Errorf("n %d: must be in 2 … %d images; one has no standard error", j.N, MaxImages)
	case j.Bins >= MaxRows/j.N:
		return fmt.Errorf("bins %d: with n %d at most %d, since the results of all images are in memory at once", j.Bins, j.N, MaxRows/j.N-1)
	}
	return nil
}

// CheckLabels reports whether each image of the job, which is valid for the dataset, has
// a class of the model's, if it has any.
func (j Job) CheckLabels(spec ddpm.Spec, data dataset.Dataset) error {
	if spec.Classes() == 0 {
		return nil
	}
	for i := range j.N {
		if _, err := ddpm.Label(spec, data, i); err != nil {
			return fmt.Errorf("%w; measure on images whose labels are the model's classes", err)
		}
	}
	return nil
}

// Encode writes the job as JSON.
func (j Job) Encode() ([]byte, error) {
	b, err := json.Marshal(j)
	if err != nil {
		return nil, fmt.Errorf("encode evaluation: %w", err)
	}
	return b, nil
}

// Decode reads what Encode wrote. Unknown keys are refused: the results would depend
// on them. Validate comes after.
func Decode(b []byte) (Job, error) {
	var j Job
	err := decode(b, &j, "evaluation")
	return j, err
}

// decode reads JSON without keys that nobody knows, and nothing behind it.
func decode(b []byte, v any, what string) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("decode %s: %w", what, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("decode %s: there is more behind the JSON object; it must be one alone", what)
	}
	return nil
}

// Task is the images First … First+Count-1.
type Task struct {
	First int `json:"first"`
	Count int `json:"count"`
}

// Tasks cuts the job into tasks of so many images.
func (j Job) Tasks(size int) []Task {
	size = max(size, 1)
	tasks := make([]Task, 0, (j.N+size-1)/size)
	for first := 0; first < j.N; first += size {
		tasks = append(tasks, Task{First: first, Count: min(size, j.N-first)})
	}
	return tasks
}

// Check reports whether the task is part of the job.
func (j Job) Check(t Task) error {
	if t.First < 0 || t.Count < 1 || t.First > j.N-t.Count {
		return fmt.Errorf("task of %d images from %d on: the job has 0 … %d", t.Count, t.First, j.N-1)
	}
	return nil
}

// piece is k of n even pieces of [1, T): from lo to below hi.
func piece(k, n, T int) (lo, hi int) { return 1 + k*(T-1)/n, 1 + (k+1)*(T-1)/n }

// choose returns the timestep of an image in stratum k, and how many timesteps it
// stands for. Stratum 0 is t = 0.
func (j Job) choose(image, k, T int) (t int, weight float64) {
	if k == 0 {
		return 0, 1
	}
	lo, hi := piece(k-1, j.Terms-1, T)
	word := rng.Philox4x32(j.Seed, rng.Counter(rng.EvalTerm, uint64(k), uint32(image), 0))[0]
	return lo + int(rng.Uint32n(word, uint32(hi-lo))), float64(hi - lo)
}

// bin is the row of the report that t belongs to: 0 for t = 0, then Bins even ones.
func (j Job) bin(t, T int) int {
	if t == 0 {
		return 0
	}
	b := (t - 1) * j.Bins / (T - 1)
	for lo, hi := piece(b, j.Bins, T); ; lo, hi = piece(b, j.Bins, T) {
		switch {
		case t < lo:
			b--
		case t >= hi:
			b++
		default:
			return b + 1
		}
	}
}
