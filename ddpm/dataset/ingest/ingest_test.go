package ingest_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/dataset/ingest"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/dataset/packed"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/dataset/raw"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/dataset/resize"
	"github.com/ddpm-cluster/ddpm-cluster/storage"
)

func store(t *testing.T, dir string) packed.Store {
	t.Helper()
	b, err := storage.OpenBlobs(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// archive writes a tar of n small pictures in three folders; those whose number broken
// accepts are none.
func archive(t *testing.T, n int, broken func(int) bool) string {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for i := range n {
		img := image.NewNRGBA(image.Rect(0, 0, 2, 3))
		for k := range img.Pix {
			img.Pix[k] = uint8(i >> (8 * (k % 2)))
		}
		img.SetNRGBA(0, 0, color.NRGBA{uint8(i), uint8(i >> 8), 7, 255})
		var file bytes.Buffer
		if err := png.Encode(&file, img); err != nil {
			t.Fatal(err)
		}
		content := file.Bytes()
		if broken(i) {
			content = content[:20]
		}
		name := fmt.Sprintf("%s/%05d.png", []string{"x", "y", "z"}[i%3], i)
		if err := w.WriteHeader(&tar.Header{Name: name, Size: int64(len(content)), Mode: 0o644}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.tar"), out.Bytes(), 0o666); err != nil {
		t.Fatal(err)
	}
	return dir
}

func never(int) bool { return false }

func settings() ingest.Settings {
	return ingest.Settings{Size: 96, Channels: 3, Rule: resize.BoxBicubic}
}

func newImport(t *testing.T, dir string, to packed.Store, threads int) *ingest.Import {
	t.Helper()
	source, err := raw.Open(t.Context(), store(t, dir), "")
	if err != nil {
		t.Fatal(err)
	}
	return &ingest.Import{Source: source, From: "here", Settings: settings(), Store: to, Prefix: "datasets/x", Threads: threads}
}

// Threads change nothing.
func TestOrderIsTheSource(t *testing.T) {
	defer goleak.VerifyNone(t)
	dir := archive(t, 200, never)
	var digests []string
	for _, threads := range []int{1, 7} {
		to := store(t, t.TempDir())
		i := newImport(t, dir, to, threads)
		i.Settings.Size = 3
		m, err := i.Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		digests = append(digests, m.Digest)
		if m.Count != 200 || strings.Join(m.Classes, " ") != "x y z" || m.Resize != resize.BoxBicubic || m.Source != "here" {
			t.Errorf("%+v", m)
		}
		if err := packed.Verify(t.Context(), to, "datasets/x", m, nil); err != nil {
			t.Error(err)
		}
		r, err := packed.Open(t.Context(), to, "datasets/x", packed.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range []int{0, 1, 5, 199} {
			if l, err := r.Label(t.Context(), k); err != nil || int(l) != k%3 {
				t.Errorf("label of %d is %d, %v", k, l, err)
			}
		}
		_ = r.Close()
		if _, err := newImport(t, dir, to, 1).Run(t.Context()); !errors.Is(err, ingest.ErrExists) {
			t.Errorf("importing it again: %v", err)
		}
	}
	if digests[0] != digests[1] {
		t.Errorf("1 thread gives %s, 7 give %s", digests[0], digests[1])
	}
}

func TestBrokenImages(t *testing.T) {
	dir := archive(t, 50, func(i int) bool { return i%10 == 4 })
	to := store(t, t.TempDir())
	_, err := newImport(t, dir, to, 3).Run(t.Context())
	var broken *ingest.BrokenError
	if !errors.As(err, &broken) || broken.Name != "a.tar: y/00004.png" || !strings.Contains(err.Error(), "--skip-broken") {
		t.Errorf("a broken image: %v", err)
	}
	i := newImport(t, dir, to, 3)
	i.Settings.SkipBroken = true
	var names []string
	i.Broken = func(name string, why error) { names = append(names, fmt.Sprint(name, ": ", why)) }
	m, err := i.Run(t.Context())
	if err != nil || m.Count != 45 || m.Broken != 5 || len(names) != 5 || !strings.Contains(names[1], "z/00014.png: damaged PNG") {
		t.Errorf("%d images, %d broken, %q, %v", m.Count, m.Broken, names, err)
	}
	all := archive(t, 3, func(int) bool { return true })
	i = newImport(t, all, store(t, t.TempDir()), 1)
	i.Settings.SkipBroken = true
	if _, err := i.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "no image") {
		t.Errorf("nothing but broken images: %v", err)
	}
}

// stopping cancels an import as it writes the so-manieth object.
type stopping struct {
	packed.Store
	after   atomic.Int64
	cancel  context.CancelFunc
	objects []string
}

func (s *stopping) Create(ctx context.Context, key string, content []byte, contentType string) error {
	if strings.HasSuffix(key, ".bin") {
		s.objects = append(s.objects, key)
		if s.after.Add(-1) == 0 {
			s.cancel()
			return context.Canceled
		}
	}
	return s.Store.Create(ctx, key, content, contentType)
}

// An import that is stopped at any object, and again, ends as one that was not, and
// writes no object twice that was whole.
func TestGoesOn(t *testing.T) {
	if testing.Short() {
		t.Skip("it writes 400 MB")
	}
	defer goleak.VerifyNone(t)
	broken := func(i int) bool { return i%100 == 7 }
	const n = 3200 // three objects of 1213 images
	dir := archive(t, n, broken)
	run := func(ctx context.Context, i *ingest.Import) (packed.Manifest, error) {
		i.Settings.SkipBroken = true
		return i.Run(ctx)
	}
	quiet := store(t, t.TempDir())
	want, err := run(t.Context(), newImport(t, dir, quiet, 2))
	if err != nil || len(want.Objects) != 3 {
		t.Fatalf("%d objects, %v", len(want.Objects), err)
	}
	to := &stopping{Store: store(t, t.TempDir())}
	for k := range 3 {
		var ctx context.Context
		ctx, to.cancel = context.WithCancel(t.Context())
		to.after.Store(int64(min(k+1, 2)))
		if _, err := run(ctx, newImport(t, dir, to, 2)); !errors.Is(err, context.Canceled) {
			t.Fatalf("stopped, and says %v", err)
		}
	}
	other := newImport(t, dir, to, 2)
	other.Settings.Size = 95
	if _, err := run(t.Context(), other); err == nil || !strings.Contains(err.Error(), "interrupted") {
		t.Errorf("going on with other settings: %v", err)
	}
	if _, err := run(t.Context(), newImport(t, archive(t, n-1000, never), to, 2)); err == nil || !strings.Contains(err.Error(), "changed") {
		t.Errorf("going on with another source: %v", err)
	}
	got, err := run(t.Context(), newImport(t, dir, to, 2))
	if err != nil {
		t.Fatal(err)
	}
	if got.Digest != want.Digest || got.Broken != want.Broken || strings.Join(got.Classes, " ") != strings.Join(want.Classes, " ") {
		t.Errorf("stopped and going on %+v\nquiet %+v", got, want)
	}
	if err := packed.Verify(t.Context(), to, "datasets/x", got, nil); err != nil {
		t.Error(err)
	}
	if _, err := to.Read(t.Context(), "datasets/x/import.json", 1<<20); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("import.json is left: %v", err)
	}
	// First object, stopped; first, second, stopped; second again, third stopped; third.
	if len(to.objects) > 7 {
		t.Errorf("wrote %q", to.objects)
	}
}

func TestSettings(t *testing.T) {
	for _, s := range []ingest.Settings{{Channels: 3, Rule: resize.Box}, {Size: 32, Channels: 2, Rule: resize.Box}, {Size: 32, Channels: 3, Rule: "sharp"}, {Size: 5000, Channels: 3, Rule: resize.Box}} {
		if s.Validate() == nil {
			t.Errorf("%+v is accepted", s)
		}
	}
}
