package job

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/sampler"
	"github.com/ddpm-cluster/ddpm-cluster/internal/picture"
)

// Format is the version of Job's JSON and of what it means.
const Format = 1

// Bounds of a job.
const (
	// MaxImages is what a job draws at most: enough for every usual evaluation, and
	// few enough to keep in memory.
	MaxImages = 100_000
	// MaxBytes bounds the pixels of a job.
	MaxBytes = 4 << 30
	// MaxFrames bounds the frames of a trajectory.
	MaxFrames = 200
	// TrajectoryImages is how many images, the first ones, have their trajectory drawn.
	TrajectoryImages = 8
)

// Job is all that a job's images are a function of, and which files are made of them.
type Job struct {
	Format int `json:"format"`
	// Run and Step name the checkpoint, Digest the state that it holds.
	Run    string `json:"run"`
	Step   uint64 `json:"step"`
	Digest string `json:"digest"`
	// N counts the images, 0 … N-1.
	N        int            `json:"n"`
	Settings sampler.Config `json:"settings"`
	// Frames counts the frames of the animated trajectory; 0 draws none.
	Frames int `json:"frames,omitempty"`
}

// Validate reports everything that is wrong with the job for a run's model.
func (j Job) Validate(spec ddpm.Spec) error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(j.Format == Format, "job format %d: this build reads format %d", j.Format, Format)
	check(j.N >= 1 && j.N <= MaxImages, "n %d: must be in 1 … %d images", j.N, MaxImages)
	size := spec.Model.ImageLen()
	check(j.N < 1 || j.N > MaxImages || j.N*size <= MaxBytes,
		"n %d: images of %d bytes are more than a job's %d bytes; draw at most %d, and the rest under another seed", j.N, size, int64(MaxBytes), MaxBytes/size)
	check(j.Frames >= 0 && j.Frames <= MaxFrames, "trajectory %d: must be in 0 … %d frames", j.Frames, MaxFrames)
	if t := j.Settings.Towards; t != nil {
		check(t.Images == j.N, "interpolation over %d images in a job of %d", t.Images, j.N)
	}
	check(j.Settings.Guidance == 1 || spec.Classes() == 0 || spec.LabelDropout > 0,
		"guidance %g: the run was trained without label dropout, so its model can't predict without a class; it must be 1", j.Settings.Guidance)
	errs = append(errs, picture.CheckChannels(spec.Model.InChannels), j.Settings.Validate(spec.Diffusion, spec.Classes()))
	return errors.Join(errs...)
}

// Encode writes the job as indented JSON, the content of job.json.
func (j Job) Encode() ([]byte, error) {
	b, err := json.MarshalIndent(j, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode sampling job: %w", err)
	}
	return append(b, '\n'), nil
}

// Decode reads what Encode wrote. Unknown keys are refused: the images would depend
// on them. Validate comes after.
func Decode(b []byte) (Job, error) {
	var j Job
	err := decode(b, &j, "sampling job")
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

// Task is the images First … First+Count-1 of a job.
type Task struct {
	First int `json:"first"`
	Count int `json:"count"`
}

// Tasks cuts the job into tasks of so many images, the last of what is left. The
// size changes no image.
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
