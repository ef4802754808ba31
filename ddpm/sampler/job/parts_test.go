package job

import (
	"reflect"
	"testing"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/sampler"
)

// Images that travelled as files make the same files as those that did not.
func TestPartsMakeTheSameFiles(t *testing.T) {
	spec := tiny(t)
	j := newJob(spec, sampler.DDIM, 10)
	j.Frames = 3
	images := drawAll(t, runner(t, spec, 2, 0), j, 4)
	_, want := files(t, spec, j, images)

	parts, got := map[string][]byte{}, map[string][]byte{}
	put := func(to map[string][]byte) func(string, []byte) error {
		return func(name string, content []byte) error {
			to[name] = content
			return nil
		}
	}
	for _, im := range images {
		if err := PutImage(im, spec.Model, put(got)); err != nil {
			t.Fatal(err)
		}
		if j.HasFrames(im.Number) {
			parts[FramesName(im.Number)] = EncodeFrames(im)
		}
	}
	read := make([]Image, j.N)
	for i := range read {
		var err error
		if read[i], err = j.ReadImage(got[ImageName(i)], i, spec.Classes(), spec.Model); err != nil {
			t.Fatal(err)
		}
		if j.HasFrames(i) {
			if read[i].Frames, err = DecodeFrames(parts[FramesName(i)], spec.Model); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := Summary(j, spec.Model, read, Choice{Grid: true, NPZ: true}, put(got)); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%d files differ from %d", len(got), len(want))
	}
	if len(parts) != TrajectoryImages {
		t.Errorf("%d images have frames, want %d", len(parts), TrajectoryImages)
	}
	for _, bad := range [][]byte{nil, make([]byte, 2*spec.Model.ImageLen()+1), make([]byte, 2*spec.Model.ImageLen()*(MaxFrames+1))} {
		if _, err := DecodeFrames(bad, spec.Model); err == nil {
			t.Errorf("frames of %d bytes are taken", len(bad))
		}
	}
}

func TestRequest(t *testing.T) {
	spec := tiny(t)
	r, err := DecodeRequest([]byte(`{"run":"r","n":3,"sampler":"ddim","steps":7,"seed":5,"clip":false,"no_npz":true}`))
	if err != nil {
		t.Fatal(err)
	}
	j := r.Job(spec, 9, "sha256:x")
	want := sampler.Defaults(sampler.DDIM, spec.Diffusion)
	want.Steps, want.Seed, want.Clip = 7, 5, false
	if j.Step != 9 || j.N != 3 || !reflect.DeepEqual(j.Settings, want) || r.Choice() != (Choice{Grid: true}) {
		t.Errorf("%+v of %+v", j, r)
	}
	if err := j.Validate(spec); err != nil {
		t.Error(err)
	}
	if j := (Request{N: 1}).Job(spec, 1, "d"); j.Settings.Method != sampler.Ancestral || j.Validate(spec) != nil {
		t.Errorf("a request of nothing is %+v", j)
	}
	for _, bad := range []string{``, `[]`, `{"run":"r","colour":1}`, `{"n":"x"}`, `{"n":3}{"n":4}`, `{"n":3}]`} {
		if _, err := DecodeRequest([]byte(bad)); err == nil {
			t.Errorf("%s is taken", bad)
		}
		if _, err := Decode([]byte(bad)); err == nil {
			t.Errorf("%s is a job", bad)
		}
	}
	for _, n := range []int{0, -1, MaxImages + 1} {
		if err := (Request{N: n}).Check(); err == nil {
			t.Errorf("n of %d is taken", n)
		}
	}
}
