package ingest_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/dataset/packed"
)

// more than an object's 1213 images of 96x96x3.
const more = 1300

// cut writes sources whose images are pieces of a file, all pixels of them of one value.
func cut() map[string]func(t *testing.T, dir string, value byte) {
	write := func(t *testing.T, dir, name string, content []byte) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	record := func(value byte) []byte { return append([]byte{value % 10}, bytes.Repeat([]byte{value}, 3072)...) }
	return map[string]func(t *testing.T, dir string, value byte){
		"npz": func(t *testing.T, dir string, value byte) { arrays(t, dir, more, value, false) },
		"IDX": func(t *testing.T, dir string, value byte) {
			head := []byte{0, 0, 8, 3}
			for _, side := range []uint32{more, 4, 4} {
				head = binary.BigEndian.AppendUint32(head, side)
			}
			write(t, dir, "train-images-idx3-ubyte", append(head, bytes.Repeat([]byte{value}, more*4*4)...))
		},
		"CIFAR-10": func(t *testing.T, dir string, value byte) {
			write(t, dir, "test_batch.bin", bytes.Repeat(record(value), more))
		},
	}
}

// setTimes says that all files of the folder were written then.
func setTimes(t *testing.T, dir string, when time.Time) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if err := os.Chtimes(filepath.Join(dir, e.Name()), when, when); err != nil {
			t.Fatal(err)
		}
	}
}

// interrupted imports the folder, and stops after the first object.
func interrupted(t *testing.T, dir, content string) packed.Store {
	t.Helper()
	to := &stopping{Store: store(t, t.TempDir())}
	var ctx context.Context
	ctx, to.cancel = context.WithCancel(t.Context())
	to.after.Store(2)
	i := newImport(t, dir, to, 2)
	i.Content = content
	if _, err := i.Run(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("stopped, and says %v", err)
	}
	return to.Store
}

// An import that was stopped does not go on with another file of the same name, though its
// images have the same names and no sizes.
func TestReplacedSource(t *testing.T) {
	then := time.Now().Add(-time.Hour).Truncate(time.Second)
	for form, write := range cut() {
		t.Run(form, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, 1)
			setTimes(t, dir, then)
			want, err := newImport(t, dir, store(t, t.TempDir()), 2).Run(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			to := interrupted(t, dir, "")
			write(t, dir, 2)
			if _, err := newImport(t, dir, to, 2).Run(t.Context()); err == nil || !strings.Contains(err.Error(), "remove datasets/x/import.json") {
				t.Errorf("going on with another file: %v", err)
			}
			if _, err := packed.ReadManifest(t.Context(), to, "datasets/x"); !errors.Is(err, packed.ErrNone) {
				t.Errorf("of two files it made a dataset: %v", err)
			}
			write(t, dir, 1)
			setTimes(t, dir, then)
			if m, err := newImport(t, dir, to, 2).Run(t.Context()); err != nil || m.Digest != want.Digest {
				t.Errorf("going on with the same file: digest %s, not %s: %v", m.Digest, want.Digest, err)
			}
		})
	}
}

// Other times of writing are no other source where the images have sizes of their own, where
// the content is known, or where import.json is of before they were noted.
func TestGoesOnWithACopy(t *testing.T) {
	array := t.TempDir()
	arrays(t, array, more, 1, false)
	for name, v := range map[string]struct {
		dir, content string
		forget       bool
	}{
		"images with sizes":    {dir: archive(t, more, never)},
		"known content":        {dir: array, content: "its hash"},
		"an old import.json":   {dir: array, forget: true},
		"old, known meanwhile": {dir: array, content: "its hash", forget: true},
	} {
		t.Run(name, func(t *testing.T) {
			to := interrupted(t, v.dir, v.content)
			if v.forget {
				forget(t, to)
			}
			setTimes(t, v.dir, time.Now().Add(time.Hour))
			i := newImport(t, v.dir, to, 2)
			i.Content = v.content
			if _, err := i.Run(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// forget takes out of import.json which source it was.
func forget(t *testing.T, to packed.Store) {
	t.Helper()
	const key = "datasets/x/import.json"
	text, err := to.Read(t.Context(), key, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(text, &fields); err != nil {
		t.Fatal(err)
	}
	if _, ok := fields["source"]; !ok {
		t.Fatalf("import.json does not say which source: %s", text)
	}
	delete(fields, "source")
	if text, err = json.Marshal(fields); err == nil {
		err = to.Write(t.Context(), key, text, "application/json")
	}
	if err != nil {
		t.Fatal(err)
	}
}
