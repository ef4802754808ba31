package packed_test

import (
	"context"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/dataset/packed"
	"github.com/ddpm-cluster/ddpm-cluster/storage"
)

// distant is a local Store that says it is S3, counts, and fails on demand.
type distant struct {
	packed.Store
	reads atomic.Int64
	gate  chan struct{} // where set, a read of images waits for it
	fail  atomic.Bool
}

func (d *distant) String() string { return "s3://bucket/" }

func (d *distant) ReadRange(ctx context.Context, key string, offset int64, p []byte) error {
	d.reads.Add(1)
	if d.gate != nil {
		select {
		case <-d.gate:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if d.fail.Load() {
		return errors.New("away")
	}
	return d.Store.ReadRange(ctx, key, offset, p)
}

func local(t *testing.T) (packed.Store, string) {
	t.Helper()
	dir := t.TempDir()
	b, err := storage.OpenBlobs(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	return b, dir
}

func noise(n int) []byte {
	r := rand.New(rand.NewPCG(1, uint64(n)))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func write(t *testing.T, st packed.Store, s packed.Shape, images []byte) packed.Manifest {
	t.Helper()
	w, err := packed.NewWriter(st, "datasets/x", s, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; len(images) > 0; i++ {
		if _, err := w.Add(t.Context(), images[:s.Bytes()], uint32(i)); err != nil {
			t.Fatal(err)
		}
		images = images[s.Bytes():]
	}
	m, err := w.Finish(t.Context(), packed.Manifest{Classes: []string{"one"}})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func open(t *testing.T, st packed.Store, o packed.Options) *packed.Reader {
	t.Helper()
	r, err := packed.Open(t.Context(), st, "datasets/x", o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

func check(t *testing.T, r *packed.Reader, images []byte, i int) {
	t.Helper()
	size := r.Manifest().Shape.Bytes()
	got := make([]byte, size)
	if err := r.Example(i, got); err != nil {
		t.Fatal(err)
	}
	if string(got) != string(images[i*size:][:size]) {
		t.Fatalf("example %d is another image", i)
	}
}

// Shapes whose images are much smaller than a block, a little smaller, and larger;
// in one object and in two.
func TestReadsWhatWasWritten(t *testing.T) {
	defer goleak.VerifyNone(t)
	for _, v := range []struct {
		shape packed.Shape
		n     int
	}{
		{packed.Shape{Height: 3, Width: 5, Channels: 1}, 1},
		{packed.Shape{Height: 28, Width: 28, Channels: 1}, 1000},
		{packed.Shape{Height: 144, Width: 144, Channels: 3}, 540},
		{packed.Shape{Height: 256, Width: 256, Channels: 3}, 171},
	} {
		t.Run(v.shape.String(), func(t *testing.T) {
			images := noise(v.n * v.shape.Bytes())
			st, _ := local(t)
			m := write(t, st, v.shape, images)
			if want := packed.Digest(v.shape, images); m.Digest != want || m.Count != v.n {
				t.Errorf("%d images with digest %s, want %d with %s", m.Count, m.Digest, v.n, want)
			}
			r := open(t, st, packed.Options{})
			order := rand.New(rand.NewPCG(7, 7)).Perm(v.n)
			for k, i := range order[:min(v.n, 200)] {
				if k%3 == 0 {
					r.Ahead(order[k:min(k+20, v.n)])
				}
				check(t, r, images, i)
				if l, err := r.Label(t.Context(), i); k < 5 && (err != nil || int(l) != i) {
					t.Errorf("label of %d is %d, %v", i, l, err)
				}
			}
			if err := packed.Verify(t.Context(), st, "datasets/x", m, nil); err != nil {
				t.Error(err)
			}
			_ = r.Close()
		})
	}
}

func TestDamageIsFound(t *testing.T) {
	shape := packed.Shape{Height: 28, Width: 28, Channels: 1}
	images := noise(1000 * shape.Bytes())
	st, dir := local(t)
	m := write(t, st, shape, images)
	file := filepath.Join(dir, "datasets/x/images-00000.bin")
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		bit := r.IntN(8 * len(whole))
		whole[bit/8] ^= 1 << (bit % 8)
		if err := os.WriteFile(file, whole, 0o666); err != nil {
			t.Fatal(err)
		}
		if err := packed.Verify(t.Context(), st, "datasets/x", m, nil); err == nil || !strings.Contains(err.Error(), "images-00000.bin") {
			t.Fatalf("bit %d is flipped, and verify says %v", bit, err)
		}
		if at := bit / 8 / shape.Bytes(); at < m.Count {
			if err := open(t, st, packed.Options{}).Example(at, make([]byte, shape.Bytes())); err == nil {
				t.Fatalf("bit %d is flipped, and example %d is read", bit, at)
			}
		}
		whole[bit/8] ^= 1 << (bit % 8)
	}
}

func TestManifestThatLies(t *testing.T) {
	st, _ := local(t)
	m := write(t, st, packed.Shape{Height: 4, Width: 4, Channels: 3}, noise(48*9))
	for name, lie := range map[string]func(*packed.Manifest){
		"format":  func(m *packed.Manifest) { m.Format = 2 },
		"count":   func(m *packed.Manifest) { m.Count++ },
		"huge":    func(m *packed.Manifest) { m.Count = 1 << 62 },
		"shape":   func(m *packed.Manifest) { m.Shape.Height = 5 },
		"deep":    func(m *packed.Manifest) { m.Shape = packed.Shape{Height: 1 << 31, Width: 1 << 31, Channels: 3} },
		"key":     func(m *packed.Manifest) { m.Objects[0].Key = "../images-00000.bin" },
		"root":    func(m *packed.Manifest) { m.Objects[0].Root[3]++ },
		"digest":  func(m *packed.Manifest) { m.Digest = "sha256:00" },
		"objects": func(m *packed.Manifest) { m.Objects = append(m.Objects, m.Objects[0]) },
	} {
		other := m
		other.Objects = append([]packed.Object(nil), m.Objects...)
		lie(&other)
		if other.Validate() == nil {
			t.Errorf("%s: the manifest is accepted", name)
		}
	}
	if _, err := packed.ReadManifest(t.Context(), st, "datasets/y"); !errors.Is(err, packed.ErrNone) {
		t.Errorf("no manifest is %v, want ErrNone", err)
	}
}

// A dataset that is larger than the cache is read whole, twice, and the folder
// stays within its bound, two processes or one. What is damaged in the cache is fetched again.
func TestCacheIsBounded(t *testing.T) {
	shape := packed.Shape{Height: 32, Width: 32, Channels: 3}
	images := noise(2000 * shape.Bytes()) // 6 MB
	st, _ := local(t)
	write(t, st, shape, images)
	far := &distant{Store: st}
	const limit = 1 << 20
	cache := t.TempDir()
	r := open(t, far, packed.Options{Cache: cache, CacheBytes: limit})
	// Another process on the machine, which sees of this one what lies in the folder.
	other := open(t, far, packed.Options{Cache: cache, CacheBytes: limit})
	for range 2 {
		for i := 0; i < 2000; i += 7 {
			check(t, r, images, i)
			check(t, other, images, 1999-i)
			if used := folderSize(t, cache); used > limit {
				t.Fatalf("the cache has %d bytes, its limit is %d", used, limit)
			}
		}
	}
	if folderSize(t, cache) < limit/4 {
		t.Error("the cache is not used")
	}
	before := far.reads.Load()
	check(t, r, images, 1995) // read last
	if far.reads.Load() != before {
		t.Error("a block that was just read is fetched again")
	}
	_ = filepath.WalkDir(cache, func(path string, d fs.DirEntry, _ error) error {
		if !d.IsDir() {
			return os.WriteFile(path, []byte("damaged"), 0o666)
		}
		return nil
	})
	check(t, r, images, 1995)
}

// folderSize is what a folder's files take on a disk with blocks of 4 KiB.
func folderSize(t *testing.T, dir string) int64 {
	t.Helper()
	var size int64
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			size += (info.Size() + 4095) / 4096 * 4096
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return size
}

// What was asked for ahead is there when it is needed: no wait, no read.
func TestAheadHidesTheStore(t *testing.T) {
	shape := packed.Shape{Height: 256, Width: 256, Channels: 3}
	images := noise(60 * shape.Bytes())
	st, _ := local(t)
	write(t, st, shape, images)
	far := &distant{Store: st, gate: make(chan struct{})}
	var now atomic.Int64
	r := open(t, far, packed.Options{Clock: func() int64 { return now.Add(1) }})
	var order []int
	for i := range 60 {
		order = append(order, i*17%60)
	}
	r.Ahead(order)
	close(far.gate)
	for k, i := range order {
		r.Ahead(order[k:])
		check(t, r, images, i)
	}
	if n := far.reads.Load(); n > 60+8 { // the list, by each fetcher at worst
		t.Errorf("%d reads for 60 blocks", n)
	}
	before := r.Waited()
	r.Ahead(order)
	r.Settle()
	for _, i := range order {
		check(t, r, images, i)
	}
	if waited := r.Waited() - before; waited != 0 {
		t.Errorf("waited %d though all was there", waited)
	}
	if check(t, r, images, 3); r.Waited() != before {
		t.Error("a block of the window is fetched again")
	}
}

// A block that could not be fetched ahead is fetched again when it is needed.
func TestFailureAheadIsNotFinal(t *testing.T) {
	shape := packed.Shape{Height: 28, Width: 28, Channels: 1}
	images := noise(500 * shape.Bytes())
	st, _ := local(t)
	write(t, st, shape, images)
	far := &distant{Store: st}
	far.fail.Store(true)
	r := open(t, far, packed.Options{})
	r.Ahead([]int{1, 200, 400})
	r.Settle()
	if err := r.Example(200, make([]byte, shape.Bytes())); err == nil || !strings.Contains(err.Error(), "away") {
		t.Errorf("the Store is away, and reading says %v", err)
	}
	far.fail.Store(false)
	for _, i := range []int{1, 200, 400} {
		check(t, r, images, i)
	}
}

func TestConcurrentReaders(t *testing.T) {
	shape := packed.Shape{Height: 28, Width: 28, Channels: 1}
	images := noise(3000 * shape.Bytes())
	st, _ := local(t)
	write(t, st, shape, images)
	r := open(t, &distant{Store: st}, packed.Options{Cache: t.TempDir(), CacheBytes: 1 << 20})
	var group sync.WaitGroup
	for g := range 4 {
		group.Go(func() {
			order := rand.New(rand.NewPCG(9, uint64(g))).Perm(3000)[:200]
			dst := make([]byte, shape.Bytes())
			for k, i := range order {
				r.Ahead(order[k:min(len(order), k+9)])
				if err := r.Example(i, dst); err != nil || string(dst) != string(images[i*len(dst):][:len(dst)]) {
					t.Errorf("example %d: %v", i, err)
				}
			}
		})
	}
	group.Wait()
}

func TestCloseEndsWhatIsFetched(t *testing.T) {
	defer goleak.VerifyNone(t)
	shape := packed.Shape{Height: 28, Width: 28, Channels: 1}
	st, _ := local(t)
	write(t, st, shape, noise(500*shape.Bytes()))
	r := open(t, &distant{Store: st, gate: make(chan struct{})}, packed.Options{})
	r.Ahead([]int{1, 200, 400})
	_ = r.Close()
	if err := r.Example(200, make([]byte, shape.Bytes())); !errors.Is(err, context.Canceled) {
		t.Errorf("after Close reading says %v", err)
	}
}

// Labels are those of all objects, from the cache too, and checked.
func TestLabels(t *testing.T) {
	st, dir := local(t)
	shape := packed.Shape{Height: 256, Width: 256, Channels: 3}
	const n = 171 // in two objects
	write(t, st, shape, noise(n*shape.Bytes()))
	far := &distant{Store: st}
	options := packed.Options{Cache: t.TempDir(), CacheBytes: 1 << 20}
	for _, reads := range []int64{2, 0} {
		far.reads.Store(0)
		labels, err := open(t, far, options).Labels(t.Context())
		if err != nil || len(labels) != n {
			t.Fatalf("%d labels: %v", len(labels), err)
		}
		for i, l := range labels {
			if l != uint32(i) {
				t.Errorf("example %d has label %d", i, l)
			}
		}
		if far.reads.Load() != reads {
			t.Errorf("%d reads, want %d", far.reads.Load(), reads)
		}
	}
	damaged := filepath.Join(dir, "datasets", "x", "images-00001.bin")
	content, err := os.ReadFile(damaged)
	if err != nil {
		t.Fatal(err)
	}
	content[len(content)-32-1] ^= 1 // the last label, before the last block's hash
	if err := os.WriteFile(damaged, content, 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := open(t, st, packed.Options{}).Labels(t.Context()); err == nil || !strings.Contains(err.Error(), "labels of images-00001.bin") {
		t.Errorf("a damaged label: %v", err)
	}
}

func FuzzManifest(f *testing.F) {
	f.Add([]byte(`{"format":1,"shape":{"height":1,"width":1,"channels":1},"count":1,"digest":"sha256:","objects":[{"key":"images-00000.bin","count":1,"size":37}]}`))
	f.Add([]byte(`{"format":1,"shape":{"height":4096,"width":4096,"channels":3},"count":2147483647,"objects":[]}`))
	f.Add([]byte(`[`))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := packed.DecodeManifest(text)
		if err != nil {
			return
		}
		again, err := m.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := packed.DecodeManifest(again); err != nil {
			t.Fatalf("%s\nbecame %s\n%v", text, again, err)
		}
	})
}
