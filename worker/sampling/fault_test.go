package sampling

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/dataset/packed"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/evaluate"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/kernel"
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
	if len(f.refused) != 0 || len(f.returned) != 1 || !strings.Contains(f.returned[0], says) || len(f.finished) != len(others) {
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

// refused checks that a worker gives the task back for other machines, with the reason, and
// goes on with the others.
func refused(t *testing.T, says string, l *ddpmv1.Lease, others ...*ddpmv1.Lease) {
	t.Helper()
	f := &fakePool{leases: append([]*ddpmv1.Lease{l}, others...)}
	if err := f.work(t, 1); err != nil {
		t.Errorf("the worker ends: %v", err)
	}
	if len(f.refused) != 1 || !strings.Contains(f.refused[0], says) || len(f.returned) != 0 || len(f.finished) != len(others) {
		t.Errorf("refused %q, returned %q, finished %d of %d others; want one refused with %q", f.refused, f.returned, len(f.finished), len(others), says)
	}
}

// What this machine can't do may well be done by others: images to measure on that are not
// here or are others here, a run that it does not see, a place that it can't write to.
func TestWhatThisMachineCannotDoIsForOthers(t *testing.T) {
	p := newPlace(t)
	good := p.leases(t, "good", p.job(1, 2), 1)
	p.dataset(t, "held", 3)
	uri := filepath.Join(p.dir, "datasets", "held")
	l := p.evaluation(t, uri, 3)
	if err := os.Rename(uri, uri+"-elsewhere"); err != nil {
		t.Fatal(err)
	}
	refused(t, "this machine can't read the images", l, good...)
	p.dataset(t, "held", 2)
	refused(t, "on this machine has digest", l, good...)

	l = p.leases(t, "a", p.job(1, 2), 1)[0]
	l.Storage = t.TempDir()
	refused(t, "s3://", l, good...)
	for _, l := range []*ddpmv1.Lease{p.leases(t, "a", p.job(1, 2), 1)[0], p.evaluation(t, "glyphs://?n=40", 2)} {
		l.Prefix = "runs/r/run.json/" // a file, where a folder would have to be
		refused(t, "not a directory", l, good...)
	}
}

// gone is a Store that has been away for long.
type gone struct{ storage.Store }

func (gone) Get(context.Context, string) (io.ReadCloser, storage.Info, error) {
	return nil, storage.Info{}, storage.ErrGaveUp
}

// Without its Store a worker can do nothing, and ends; neither task nor job is to blame.
func TestAWorkerWithoutItsStoreEnds(t *testing.T) {
	p := newPlace(t)
	for _, l := range []*ddpmv1.Lease{p.leases(t, "a", p.job(1, 2), 1)[0], p.evaluation(t, "glyphs://?n=40", 2)} {
		f := &fakePool{}
		w := &worker{config: Config{Log: discard}, pools: []ddpmv1.PoolClient{f}, stores: map[string]storage.Store{p.dir: gone{p.store}}}
		if err := w.serve(t.Context(), l); !errors.Is(err, storage.ErrGaveUp) || !slices.Equal(f.returned, []string{""}) || len(f.refused) != 0 {
			t.Errorf("%v; returned %q, refused %q", err, f.returned, f.refused)
		}
	}
}

// The more tasks in a row a machine can't do, the longer it rests; one that it does ends that.
func TestRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &worker{}
		for n := 1; n < 20; n++ {
			began := time.Now()
			w.rest(t.Context())
			if took := time.Since(began); took != min(time.Duration(n)*time.Second, mostRest) {
				t.Errorf("after %d tasks it rests %v", n, took)
			}
		}
	})
	p := newPlace(t)
	f := &fakePool{}
	w := &worker{config: Config{Threads: 1, Log: discard}, pools: []ddpmv1.PoolClient{f}, pool: kernel.NewPool(1), stores: map[string]storage.Store{}, refused: 7}
	defer w.pool.Close()
	if err := w.serve(t.Context(), p.leases(t, "good", p.job(1, 2), 1)[0]); err != nil || w.refused != 0 {
		t.Errorf("%v; %d are refused in a row", err, w.refused)
	}
}

// A computation's error is the task's own but where the worker ends, the Store is away, or
// this machine can't read.
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
		{t.Context(), fmt.Errorf("read image 3: %w", &os.PathError{Op: "read", Path: "/held", Err: syscall.EIO}), false},
		{t.Context(), fmt.Errorf("read image 3: %w", fs.ErrNotExist), false},
		{t.Context(), fmt.Errorf("read image 3: %w", &net.DNSError{Err: "no such host"}), false},
	} {
		if err := owned(c.ctx, c.err); errors.As(err, new(fault)) != c.want || !errors.Is(err, c.err) {
			t.Errorf("%v becomes %#v", c.err, err)
		}
	}
}

// A Store is probed before it is written: only so a worker knows how to create what only
// one may create. What shows it in a folder is that a crash's leftovers go.
func TestStoreIsProbed(t *testing.T) {
	p := newPlace(t)
	left, old := filepath.Join(p.dir, ".ddpm-tmp-left"), time.Now().Add(-24*time.Hour)
	if err := errors.Join(os.WriteFile(left, nil, 0o600), os.Chtimes(left, old, old)); err != nil {
		t.Fatal(err)
	}
	if err := (&fakePool{leases: p.leases(t, "a", p.job(1, 2), 1)}).work(t, 1); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(left); !os.IsNotExist(err) {
		t.Errorf("the Store was not probed: %v", err)
	}
}
