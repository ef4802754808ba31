package dataset

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/dataset/ingest"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/dataset/packed"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/dataset/raw"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/dataset/resize"
	"github.com/ddpm-cluster/ddpm-cluster/storage"
)

func openStore(ctx context.Context, uri string) (packed.Store, error) {
	return storage.OpenBlobs(ctx, uri)
}

// places has a run's Store in a folder, imports into it, and logs to the returned buffer.
func places(t *testing.T, run string) (Places, *bytes.Buffer) {
	t.Helper()
	store, err := openStore(t.Context(), run)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	return Places{
		Stores: openStore, Run: store,
		Packed: packed.Options{Cache: t.TempDir(), CacheBytes: 1 << 20},
		Import: &Importing{Threads: 2, Log: slog.New(slog.NewTextHandler(&log, nil))},
	}, &log
}

func importTo(t *testing.T, src string, store packed.Store, prefix string, size, channels int) {
	t.Helper()
	source, err := raw.Locate(t.Context(), src, openStore)
	if err != nil {
		t.Fatal(err)
	}
	i := ingest.Import{
		Source: source, From: src, Store: store, Prefix: prefix, Threads: 2,
		Settings: ingest.Settings{Size: size, Channels: channels, Rule: resize.BoxBicubic},
	}
	if _, err := i.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// remotes are the places to which the tests import besides folders.
func remotes(t *testing.T) []string {
	uri := os.Getenv("DDPM_TEST_S3")
	if uri == "" {
		t.Log("DDPM_TEST_S3 is not set to an s3:// URI: only folders are tested")
		return nil
	}
	address, options, _ := strings.Cut(uri, "?")
	uri = fmt.Sprintf("%s/ddpm-data-%d?%s", strings.TrimRight(address, "/"), time.Now().UnixNano(), options)
	t.Cleanup(func() {
		st, err := storage.Open(context.Background(), uri)
		if err != nil {
			t.Fatal(err)
		}
		objects, err := st.List(context.Background(), "")
		for _, o := range objects {
			if err == nil {
				err = st.Delete(context.Background(), o.Key)
			}
		}
		if err != nil {
			t.Error(err)
		}
	})
	return []string{uri}
}

// The same data is the same dataset, whatever form it has and wherever it lies.
func TestDigestIsThatOfTheFiles(t *testing.T) {
	images, labels, _ := three()
	four := Want{Size: 4, Channels: 1, Labels: true}
	for name, v := range map[string]struct {
		files map[string][]byte
		want  Want
	}{
		"IDX":      {map[string][]byte{"train-images-idx3-ubyte": images, "train-labels-idx1-ubyte": labels}, four},
		"CIFAR-10": {batches(), Want{Size: 32, Channels: 3, Labels: true}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := folder(t, v.files)
			files, err := Open(t.Context(), dir, v.want)
			if err != nil {
				t.Fatal(err)
			}
			p, _ := places(t, t.TempDir())
			importTo(t, dir, p.Run, packed.Prefix("named"), v.want.Size, v.want.Channels)
			uris := []string{"named", "store://named"}
			for _, uri := range append(remotes(t), filepath.Join(t.TempDir(), "place")) {
				store, err := openStore(t.Context(), uri)
				if err != nil {
					t.Fatal(err)
				}
				importTo(t, dir, store, "", v.want.Size, v.want.Channels)
				uris = append(uris, uri)
			}
			for _, uri := range uris {
				d, err := p.Open(t.Context(), uri, v.want)
				if err != nil {
					t.Fatal(err)
				}
				if d.Digest() != files.Digest() || d.Len() != files.Len() {
					t.Errorf("%s: %d images with digest %s, want %d with %s", uri, d.Len(), d.Digest(), files.Len(), files.Digest())
				}
				for i := range d.Len() {
					if !bytes.Equal(example(t, d, i), example(t, files, i)) {
						t.Errorf("%s: example %d is another", uri, i)
					}
					if got, want := d.(Labeled).Label(i), files.(Labeled).Label(i); got != want {
						t.Errorf("%s: example %d has label %d, want %d", uri, i, got, want)
					}
				}
				again, err := p.Open(t.Context(), d.URI(), v.want)
				if err != nil || again.URI() != d.URI() || again.Digest() != d.Digest() {
					t.Errorf("%s says its URI is %s, which opens as %v", uri, d.URI(), err)
				}
				for _, c := range []Dataset{d, again} {
					if err := c.(io.Closer).Close(); err != nil {
						t.Error(err)
					}
				}
				if _, err := p.Open(t.Context(), uri, Want{Size: 9, Channels: 1}); err == nil || !strings.Contains(err.Error(), "the model takes 9x9x1") {
					t.Errorf("%s for another model: %v", uri, err)
				}
			}
		})
	}
}

// A form that can't be read as it lies is imported once: not again at the next start,
// nor where the same files are somewhere else, but where they have changed.
func TestImportsOnce(t *testing.T) {
	array, err := os.ReadFile("raw/testdata/stored.npz")
	if err != nil {
		t.Fatal(err)
	}
	p, log := places(t, t.TempDir())
	here, there := filepath.Join(t.TempDir(), "a.npz"), filepath.Join(t.TempDir(), "a.npz")
	for _, file := range []string{here, there} {
		if err := os.WriteFile(file, array, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want := Want{Size: 8, Channels: 3}
	open := func(uri string) (Dataset, int) {
		t.Helper()
		log.Reset()
		d, err := p.Open(t.Context(), uri, want)
		if err != nil {
			t.Fatal(err)
		}
		if err := d.(io.Closer).Close(); err != nil {
			t.Error(err)
		}
		return d, strings.Count(log.String(), "imported the dataset")
	}
	first, n := open(here)
	if n != 1 || first.Len() != 5 || !strings.HasPrefix(first.URI(), "store://auto-") {
		t.Fatalf("%d images at %s, imported %d times:\n%s", first.Len(), first.URI(), n, log)
	}
	for _, uri := range []string{here, there, "file://" + here, first.URI()} {
		if d, n := open(uri); n != 0 || d.URI() != first.URI() {
			t.Errorf("%s is %s, imported %d times", uri, d.URI(), n)
		}
	}
	changed, err := os.ReadFile("raw/testdata/deflated.npz")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(here, changed, 0o666); err != nil {
		t.Fatal(err)
	}
	if d, n := open(here); n != 1 || d.URI() == first.URI() || d.Digest() != first.Digest() {
		t.Errorf("the changed file is %s, imported %d times", d.URI(), n)
	}
	p.Import = nil // a worker's places
	if _, err := p.Open(t.Context(), there, want); err == nil || !strings.Contains(err.Error(), "no dataset.json") {
		t.Errorf("without leave to import: %v", err)
	}
}

// A packed dataset is Labeled where labels are wanted and every image has one.
func TestLabelsOfPackedDatasets(t *testing.T) {
	for name, v := range map[string]struct {
		labels  []uint32
		want    bool
		labeled bool
		err     string
	}{
		"of all":            {[]uint32{1, 0}, true, true, ""},
		"that nobody wants": {[]uint32{1, 0}, false, false, ""},
		"of none":           {[]uint32{packed.NoLabel, packed.NoLabel}, true, false, ""},
		"of some":           {[]uint32{1, packed.NoLabel}, true, false, "example 1 has no label"},
	} {
		t.Run(name, func(t *testing.T) {
			p, _ := places(t, t.TempDir())
			w, err := packed.NewWriter(p.Run, packed.Prefix("x"), packed.Shape{Height: 2, Width: 2, Channels: 1}, nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, label := range v.labels {
				if _, err := w.Add(t.Context(), []byte{1, 2, 3, 4}, label); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := w.Finish(t.Context(), packed.Manifest{}); err != nil {
				t.Fatal(err)
			}
			d, err := p.Open(t.Context(), "x", Want{Size: 2, Channels: 1, Labels: v.want})
			if v.err != "" {
				if err == nil || !strings.Contains(err.Error(), v.err) {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer d.(io.Closer).Close()
			l, ok := d.(Labeled)
			if ok != v.labeled {
				t.Fatalf("labeled is %v", ok)
			}
			for i, want := range v.labels {
				if ok && l.Label(i) != int(want) {
					t.Errorf("example %d has label %d, want %d", i, l.Label(i), want)
				}
			}
		})
	}
}
