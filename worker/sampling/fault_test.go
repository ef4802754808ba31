package sampling

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/dataset/packed"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/evaluate"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/sampler/job"
	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
	"github.com/ddpm-cluster/ddpm-cluster/storage"
)

// evaluation is the lease that measures on all of n images.
func (p place) evaluation(t *testing.T, uri string, n int) *ddpmv1.Lease {
	t.Helper()
	j := evaluate.Request{Run: testRun, Dataset: uri, N: n, Terms: 2, Bins: 3}.Job(p.spec, testStep, testDigest)
	data, err := OpenHeldOut(t.Context(), p.store, p.spec, uri)
	if err != nil {
		t.Fatal(err)
	}
	j.Dataset, j.DatasetDigest = data.URI(), data.Digest()
	closeImages(data)
	text, err := j.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return part(&ddpmv1.Lease{JobId: "e", Evaluation: text, Storage: p.dir, Prefix: "runs/r/evaluations/e/"}, 0, 0, n)
}

// dataset makes one of n images without labels in the Store.
func (p place) dataset(t *testing.T, name string, n int) {
	t.Helper()
	shape := packed.Shape{Height: p.spec.Model.Size, Width: p.spec.Model.Size, Channels: p.spec.Model.InChannels}
	w, err := packed.NewWriter(storage.AsBlobs(p.store), packed.Prefix(name), shape, nil)
	if err != nil {
		t.Fatal(err)
	}
	for range n {
		if _, err := w.Add(t.Context(), make([]byte, shape.Bytes()), packed.NoLabel); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Finish(t.Context(), packed.Manifest{}); err != nil {
		t.Fatal(err)
	}
}

// edit changes a file of the Store.
func (p place) edit(t *testing.T, name string, edit func([]byte) []byte) {
	t.Helper()
	path := filepath.Join(p.dir, filepath.FromSlash(name))
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, edit(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// goesBack checks that a worker gives the task back with the reason, and goes on with the
// others.
func goesBack(t *testing.T, says string, l *ddpmv1.Lease, others ...*ddpmv1.Lease) {
	t.Helper()
	f := &fakePool{leases: append([]*ddpmv1.Lease{l}, others...)}
	if err := f.work(t, 1); err != nil {
		t.Errorf("the worker ends: %v", err)
	}
	if len(f.returned) != 1 || !strings.Contains(f.returned[0], says) || len(f.finished) != len(others) {
		t.Errorf("returned %q, finished %d of %d others; want one back with %q", f.returned, len(f.finished), len(others), says)
	}
}

func tinySpec(t *testing.T) ddpm.Spec {
	t.Helper()
	preset, err := ddpm.FindPreset("tiny")
	if err != nil {
		t.Fatal(err)
	}
	return preset.Spec
}

// What can't be measured is the task's fault, not the worker's.
func TestWhatCannotBeMeasuredGoesBack(t *testing.T) {
	p := newPlaceOf(t, tinySpec(t).WithClasses(5, 0.1))
	p.dataset(t, "bare", 3)
	other := p.leases(t, "good", p.job(1, 2), 1)
	goesBack(t, "the model has classes 0 … 4", p.evaluation(t, "glyphs://?n=40", 40), other...)
	goesBack(t, "has no labels", p.evaluation(t, "store://bare", 3), other...)

	p = newPlace(t)
	p.dataset(t, "bare", 3)
	l := p.evaluation(t, "store://bare", 3)
	p.edit(t, "datasets/bare/images-00000.bin", func(b []byte) []byte {
		b[0] ^= 1
		return b
	})
	goesBack(t, "are damaged", l, p.leases(t, "good", p.job(1, 2), 1)...)
}

// What can't be drawn is the task's fault too: before anything is drawn, and when its
// files are made.
func TestWhatCannotBeDrawnGoesBack(t *testing.T) {
	latent := tinySpec(t)
	latent.Model.InChannels, latent.Model.OutChannels = 4, 4
	p := newPlaceOf(t, latent)
	goesBack(t, "images of 4 channels", p.leases(t, "a", p.job(1, 2), 1)[0])

	p = newPlace(t)
	all := p.leases(t, "b", p.job(2, 4), 2)
	if err := (&fakePool{leases: all[:1]}).work(t, 1); err != nil {
		t.Fatal(err)
	}
	p.edit(t, "runs/r/samples/b/"+job.FramesName(1), func(b []byte) []byte { return b[:2*p.spec.Model.ImageLen()] })
	goesBack(t, "image 1 has 1 frames", all[1], p.leases(t, "good", p.job(1, 2), 1)...)
}

// A worker that can't write ends, and the task is not to blame.
func TestAWorkerThatCannotStoreEnds(t *testing.T) {
	p := newPlace(t)
	for _, l := range []*ddpmv1.Lease{p.leases(t, "a", p.job(1, 2), 1)[0], p.evaluation(t, "glyphs://?n=40", 2)} {
		l.Prefix = "runs/r/run.json/" // a file, where a folder would have to be
		f := &fakePool{leases: []*ddpmv1.Lease{l}}
		if err := f.work(t, 1); err == nil || !slices.Equal(f.returned, []string{""}) {
			t.Errorf("%v; returned %q", err, f.returned)
		}
	}
}

// A computation's error is the task's own but where the worker ends or the Store is away.
func TestOwned(t *testing.T) {
	over, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct {
		ctx  context.Context
		err  error
		want bool
	}{
		{t.Context(), errors.New("no labels"), true},
		{t.Context(), fmt.Errorf("read image 3: %w", storage.ErrGaveUp), false},
		{over, errors.New("read image 3: cut off"), false},
	} {
		if err := owned(c.ctx, c.err); errors.As(err, new(fault)) != c.want || !errors.Is(err, c.err) {
			t.Errorf("%v becomes %#v", c.err, err)
		}
	}
}
