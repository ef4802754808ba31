package job

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/kernel"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/rng"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/sampler"
)

func tiny(t *testing.T) ddpm.Spec {
	t.Helper()
	p, err := ddpm.FindPreset("tiny")
	if err != nil {
		t.Fatal(err)
	}
	return p.Spec
}

// weights are all random: those that a run starts from predict next to nothing.
func weights(spec ddpm.Spec) []float32 {
	w := make([]float32, spec.Model.ParamCount())
	rng.Uniforms(w, 0.1, 9, rng.Init, 0, 0)
	return w
}

func newJob(spec ddpm.Spec, method string, n int) Job {
	s := sampler.Defaults(method, spec.Diffusion)
	s.Seed, s.Steps = 5, 6
	return Job{Format: Format, Run: "r", Step: 3, Digest: "sha256:0", N: n, Settings: s}
}

func runner(t *testing.T, spec ddpm.Spec, threads, batch int) *Runner {
	t.Helper()
	pool := kernel.NewPool(threads)
	t.Cleanup(pool.Close)
	return NewRunner(spec, sampler.NewModel(spec, weights(spec), pool), batch)
}

// drawAll draws all tasks of a size, the last first.
func drawAll(t *testing.T, r *Runner, j Job, size int) []Image {
	t.Helper()
	images := make([]Image, j.N)
	for _, task := range slices.Backward(j.Tasks(size)) {
		drawn, err := r.Run(t.Context(), j, task, nil)
		if err != nil {
			t.Fatal(err)
		}
		copy(images[task.First:], drawn)
	}
	return images
}

// files are a job's, in the order of their writing.
func files(t *testing.T, spec ddpm.Spec, j Job, images []Image) (names []string, content map[string][]byte) {
	t.Helper()
	content = map[string][]byte{}
	err := Files(j, spec.Model, images, Choice{Grid: true, NPZ: true}, func(name string, b []byte) error {
		if content[name] != nil {
			t.Errorf("%s is written twice", name)
		}
		names, content[name] = append(names, name), b
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names, content
}

func TestFilesAreTheSameHoweverTheJobIsCut(t *testing.T) {
	spec := tiny(t)
	for _, method := range sampler.Methods() {
		j := newJob(spec, method, 11)
		j.Frames = 3
		_, want := files(t, spec, j, drawAll(t, runner(t, spec, 1, 1), j, j.N))
		for _, cut := range []struct{ threads, batch, task int }{{2, 4, 11}, {1, 16, 3}, {3, 2, 1}, {2, 0, 7}} {
			_, got := files(t, spec, j, drawAll(t, runner(t, spec, cut.threads, cut.batch), j, cut.task))
			for name, b := range want {
				if !bytes.Equal(got[name], b) {
					t.Errorf("%s: %s is another in %+v", method, name, cut)
				}
			}
			if len(got) != len(want) {
				t.Errorf("%s: %d files in %+v, want %d", method, len(got), cut, len(want))
			}
		}
	}
}

func TestAnImageDependsOnItsNumberAndTheSeed(t *testing.T) {
	spec := tiny(t)
	r := runner(t, spec, 1, 0)
	j := newJob(spec, sampler.DDIM, 3)
	a := drawAll(t, r, j, 3)
	if bytes.Equal(a[0].Pixels, a[1].Pixels) {
		t.Error("images 0 and 1 are the same")
	}
	more := j
	more.N = 5
	if b := drawAll(t, r, more, 5); !bytes.Equal(a[2].Pixels, b[2].Pixels) {
		t.Error("image 2 depends on how many there are")
	}
	other := j
	other.Settings.Seed++
	if b := drawAll(t, r, other, 3); bytes.Equal(a[0].Pixels, b[0].Pixels) {
		t.Error("image 0 doesn't depend on the seed")
	}
}

func TestInterpolationEndsInTheImagesOfBothSeeds(t *testing.T) {
	for _, c := range []struct {
		spec  ddpm.Spec
		drawn []int
		class int
	}{{spec: tiny(t)}, {spec: tiny(t).WithClasses(3, 0)}, {spec: tiny(t).WithClasses(3, 0.1), drawn: []int{2}, class: 2}} {
		r := runner(t, c.spec, 1, 0)
		j := newJob(c.spec, sampler.DDIM, 5)
		j.Settings.Classes = c.drawn
		j.Settings.Towards = &sampler.Interpolation{Seed: 8, Images: 5}
		between := drawAll(t, r, j, 2)
		for i, im := range between {
			if im.Class != c.class {
				t.Errorf("image %d is of class %d, want %d", i, im.Class, c.class)
			}
		}
		for end, seed := range map[int]uint64{0: 5, 4: 8} {
			one := newJob(c.spec, sampler.DDIM, 1)
			one.Settings.Seed, one.Settings.Classes = seed, c.drawn
			alone := drawAll(t, r, one, 1)
			for i, v := range alone[0].Pixels {
				if d := int(v) - int(between[end].Pixels[i]); d < -1 || d > 1 {
					t.Fatalf("%d classes: image %d is not image 0 of seed %d: pixel %d is %d, not %d", c.spec.Classes(), end, seed, i, between[end].Pixels[i], v)
				}
			}
		}
	}
}

func TestFiles(t *testing.T) {
	spec := tiny(t)
	j := newJob(spec, sampler.Heun, 10)
	j.Frames = 4
	images := drawAll(t, runner(t, spec, 1, 0), j, 4)
	names, content := files(t, spec, j, images)
	if len(names) != 14 || names[13] != JobName || names[0] != "images/000000.png" {
		t.Errorf("files are %v", names)
	}
	back, err := Decode(content[JobName])
	if err != nil || fmt.Sprint(back) != fmt.Sprint(j) {
		t.Errorf("job.json says %+v, %v; want %+v", back, err, j)
	}
	im, err := png.Decode(bytes.NewReader(content["images/000003.png"]))
	if err != nil || im.Bounds() != image.Rect(0, 0, 8, 8) {
		t.Fatalf("image 3: %v, %v", im, err)
	}
	if r, _, _, _ := im.At(2, 5).RGBA(); uint8(r>>8) != images[3].Pixels[5*8+2] {
		t.Error("image 3 has other pixels than were drawn")
	}
	if n := len(images[0].Frames); n != 4 || images[8].Frames != nil {
		t.Errorf("image 0 has %d frames, image 8 %d; want 4 and none", n, len(images[8].Frames))
	}
	z, err := zip.NewReader(bytes.NewReader(content[NPZName]), int64(len(content[NPZName])))
	if err != nil {
		t.Fatal(err)
	}
	f, err := z.Open("arr_0.npy")
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	head, body := data[:len(data)-10*64], data[len(data)-10*64:]
	if len(head)%64 != 0 || !strings.Contains(string(head), "'descr': '|u1', 'fortran_order': False, 'shape': (10, 8, 8, 1,)") || !bytes.Equal(body[3*64:4*64], images[3].Pixels) {
		t.Errorf("arr_0 begins with %q", head)
	}
	images[4], images[5] = images[5], images[4]
	if err := Files(j, spec.Model, images, Choice{}, func(string, []byte) error { return nil }); err == nil {
		t.Error("images out of order are accepted")
	}
}

func TestProgressAndCancelling(t *testing.T) {
	spec := tiny(t)
	j := newJob(spec, sampler.Heun, 5)
	var last Progress
	if _, err := runner(t, spec, 1, 2).Run(t.Context(), j, Task{Count: 5}, func(p Progress) {
		if p.Done <= last.Done {
			t.Errorf("progress goes from %v to %v", last, p)
		}
		last = p
	}); err != nil || last != (Progress{Done: 55, Of: 55}) {
		t.Errorf("ended at %v, %v; 5 images take 11 evaluations each", last, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	calls := 0
	_, err := runner(t, spec, 1, 2).Run(ctx, j, Task{Count: 5}, func(Progress) { calls++; cancel() })
	if !errors.Is(err, context.Canceled) || calls != 1 {
		t.Errorf("cancelled in the first evaluation: %v after %d", err, calls)
	}
}

func TestValidateRefuses(t *testing.T) {
	spec := tiny(t)
	large, err := ddpm.FindPreset("celebahq256")
	if err != nil {
		t.Fatal(err)
	}
	latent := spec
	latent.Model.InChannels, latent.Model.OutChannels = 4, 4
	for says, c := range map[string]struct {
		spec ddpm.Spec
		edit func(*Job)
	}{
		"n 0:":              {spec, func(j *Job) { j.N = 0 }},
		"n 10000000:":       {spec, func(j *Job) { j.N = 10_000_000 }},
		"at most 21845":     {large.Spec, func(j *Job) { j.N = 50_000 }},
		"of 4 channels":     {latent, func(*Job) {}},
		"job format 7":      {spec, func(j *Job) { j.Format = 7 }},
		"trajectory -1":     {spec, func(j *Job) { j.Frames = -1 }},
		"steps 2000":        {spec, func(j *Job) { j.Settings.Steps = 2000 }},
		"interpolation ove": {spec, func(j *Job) { j.Settings.Towards = &sampler.Interpolation{Seed: 1, Images: 3} }},
	} {
		j := newJob(c.spec, sampler.DDIM, 2)
		c.edit(&j)
		if err := j.Validate(c.spec); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("want an error with %q, got %v", says, err)
		}
	}
	j := newJob(spec, sampler.DDIM, 4)
	for _, task := range []Task{{0, 0}, {-1, 2}, {3, 2}, {0, 5}, {1 << 62, 1 << 62}} {
		if j.Check(task) == nil {
			t.Errorf("task %+v of 4 images is accepted", task)
		}
	}
}

func TestTasksCoverTheJobOnce(t *testing.T) {
	for n := 1; n < 20; n++ {
		for size := 0; size < 22; size++ {
			next := 0
			for _, task := range (Job{N: n}).Tasks(size) {
				if task.First != next || task.Count < 1 || task.Count > max(size, 1) {
					t.Fatalf("n %d, size %d: task %+v after %d images", n, size, task, next)
				}
				next += task.Count
			}
			if next != n {
				t.Fatalf("n %d, size %d: %d images", n, size, next)
			}
		}
	}
}

func FuzzDecode(f *testing.F) {
	b, err := Job{Format: Format, N: 3, Settings: sampler.Config{Method: sampler.DDIM}}.Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"n": 1, "frame": 2}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		j, err := Decode(b)
		if err != nil {
			return
		}
		again, err := j.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if k, err := Decode(again); err != nil || fmt.Sprint(k) != fmt.Sprint(j) && j.Settings.Towards == nil {
			t.Errorf("%+v becomes %+v, %v", j, k, err)
		}
	})
}
