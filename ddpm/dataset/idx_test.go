package dataset

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/dataset/raw"
)

// IDX's magic numbers of images and of labels.
const idxImages, idxLabels = 0x803, 0x801

// idx encodes an IDX file.
func idx(magic uint32, dims []uint32, elements []uint8) []byte {
	b := binary.BigEndian.AppendUint32(nil, magic)
	for _, d := range dims {
		b = binary.BigEndian.AppendUint32(b, d)
	}
	return append(b, elements...)
}

// ramp is n bytes, all different from their neighbours.
func ramp(n int) []uint8 {
	b := make([]uint8, n)
	for i := range b {
		b[i] = uint8(i*7 + i/256)
	}
	return b
}

func gzipped(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	if _, err := z.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// folder writes files and returns where.
func folder(t *testing.T, files map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// three is a set of three 4x4 images, and its pixels.
func three() (images, labels []byte, pixels []uint8) {
	pixels = ramp(3 * 16)
	return idx(idxImages, []uint32{3, 4, 4}, pixels), idx(idxLabels, []uint32{3}, []uint8{7, 0, 9}), pixels
}

func TestOpenIDX(t *testing.T) {
	images, labels, pixels := three()
	other := idx(idxImages, []uint32{1, 4, 4}, make([]uint8, 16))
	want := Want{Size: 4, Channels: 1}
	for _, v := range []struct {
		name    string
		files   map[string][]byte
		open    string
		uses    string
		labeled bool
	}{
		{"a folder with the training set", map[string][]byte{"train-images-idx3-ubyte": images, "train-labels-idx1-ubyte": labels}, "", "train-images-idx3-ubyte", true},
		{"packed", map[string][]byte{"train-images-idx3-ubyte.gz": gzipped(t, images), "train-labels-idx1-ubyte.gz": gzipped(t, labels)}, "", "train-images-idx3-ubyte.gz", true},
		{"packed under the unpacked name", map[string][]byte{"train-images-idx3-ubyte": gzipped(t, images)}, "", "train-images-idx3-ubyte", false},
		{"packed images, unpacked labels", map[string][]byte{"train-images-idx3-ubyte.gz": gzipped(t, images), "train-labels-idx1-ubyte": labels}, "", "train-images-idx3-ubyte.gz", true},
		{"a dot in the names", map[string][]byte{"train-images.idx3-ubyte": images, "train-labels.idx1-ubyte": labels}, "", "train-images.idx3-ubyte", true},
		{"train before t10k", map[string][]byte{"train-images.idx3-ubyte.gz": gzipped(t, images), "t10k-images-idx3-ubyte": other}, "", "train-images.idx3-ubyte.gz", false},
		{"t10k alone", map[string][]byte{"t10k-images-idx3-ubyte": images}, "", "t10k-images-idx3-ubyte", false},
		{"a folder of an images file's name", map[string][]byte{"train-images-idx3-ubyte/x": nil, "train-images.idx3-ubyte": images}, "", "train-images.idx3-ubyte", false},
		{"one file", map[string][]byte{"train-images-idx3-ubyte": other, "t10k-images-idx3-ubyte": images, "t10k-labels-idx1-ubyte": labels}, "t10k-images-idx3-ubyte", "t10k-images-idx3-ubyte", true},
		{"one file of another name", map[string][]byte{"my-digits": images}, "my-digits", "my-digits", false},
	} {
		t.Run(v.name, func(t *testing.T) {
			dir := folder(t, v.files)
			d, err := Open(context.Background(), filepath.Join(dir, v.open), want)
			if err != nil {
				t.Fatal(err)
			}
			if got, want := d.URI(), filepath.Join(dir, v.uses); got != want {
				t.Errorf("URI %s, want %s", got, want)
			}
			if d.Len() != 3 || d.Shape() != (Shape{Height: 4, Width: 4, Channels: 1}) {
				t.Fatalf("%d images of %v", d.Len(), d.Shape())
			}
			var got []uint8
			for i := range d.Len() {
				got = append(got, example(t, d, i)...)
			}
			if !slices.Equal(got, pixels) {
				t.Errorf("pixels %v, want %v", got, pixels)
			}
			l, ok := d.(Labeled)
			if ok != v.labeled {
				t.Fatalf("labels: %v, want %v", ok, v.labeled)
			}
			if ok && (l.Label(0) != 7 || l.Label(1) != 0 || l.Label(2) != 9) {
				t.Errorf("labels %d, %d, %d", l.Label(0), l.Label(1), l.Label(2))
			}
			again, err := Open(context.Background(), "file://"+d.URI(), want)
			if err != nil {
				t.Fatal(err)
			}
			if again.Digest() != d.Digest() || again.URI() != d.URI() {
				t.Errorf("opened again: %s %s, was %s %s", again.URI(), again.Digest(), d.URI(), d.Digest())
			}
		})
	}
}

func example(t testing.TB, d Dataset, i int) []uint8 {
	t.Helper()
	b := make([]uint8, d.Shape().Bytes())
	if err := d.Example(i, b); err != nil {
		t.Fatal(err)
	}
	return b
}

func TestDigestNamesTheImages(t *testing.T) {
	images, labels, pixels := three()
	changed := slices.Clone(pixels)
	changed[47]++
	digest := func(want Want, files map[string][]byte) string {
		t.Helper()
		d, err := Open(context.Background(), folder(t, files), want)
		if err != nil {
			t.Fatal(err)
		}
		return d.Digest()
	}
	four := Want{Size: 4, Channels: 1}
	one := digest(four, map[string][]byte{"train-images-idx3-ubyte": images, "train-labels-idx1-ubyte": labels})
	if len(one) != len("sha256:")+64 || !strings.HasPrefix(one, "sha256:") {
		t.Errorf("digest %s", one)
	}
	if two := digest(four, map[string][]byte{"t10k-images-idx3-ubyte.gz": gzipped(t, images)}); two != one {
		t.Errorf("another name, packed, no labels: %s, was %s", two, one)
	}
	if two := digest(four, map[string][]byte{"train-images-idx3-ubyte": idx(idxImages, []uint32{3, 4, 4}, changed)}); two == one {
		t.Error("a changed pixel has the same digest")
	}
	if two := digest(Want{Size: 2, Channels: 1}, map[string][]byte{"train-images-idx3-ubyte": idx(idxImages, []uint32{12, 2, 2}, pixels)}); two == one {
		t.Error("another shape has the same digest")
	}
}

func TestIDXErrors(t *testing.T) {
	images, labels, pixels := three()
	const name = "train-images-idx3-ubyte"
	cut := gzipped(t, images)
	wrongSum := slices.Clone(cut)
	wrongSum[len(wrongSum)-8]++
	corrupt := slices.Clone(cut)
	corrupt[12] ^= 0xff
	huge := idx(idxImages, []uint32{1<<32 - 1, 4, 4}, pixels)
	for _, v := range []struct {
		name   string
		files  map[string][]byte
		offset int64
		want   []string
	}{
		{"labels for images", map[string][]byte{name: labels}, 0, []string{name, "0x00000803", "0x00000801 (an IDX file of labels)"}},
		{"no magic", map[string][]byte{name: ramp(100)}, 0, []string{"0x00000803", "0x00070e15"}},
		{"empty", map[string][]byte{name: nil}, 0, []string{"magic", "cut off"}},
		{"a cut header", map[string][]byte{name: images[:9]}, 9, []string{"dimensions", "cut off"}},
		{"short by a byte", map[string][]byte{name: images[:len(images)-1]}, 16, []string{"3 images of 16 bytes (4x4)", "47 bytes"}},
		{"a byte too many", map[string][]byte{name: append(slices.Clone(images), 0)}, 64, []string{"the end", "1 bytes too many"}},
		{"a count that no file holds", map[string][]byte{name: huge}, 16, []string{"4294967295 images", "48 bytes"}},
		{"a packed count that the file can't hold", map[string][]byte{name: gzipped(t, huge)}, 16, []string{"4294967295 images", "at most", "unpacked"}},
		{"no images", map[string][]byte{name: idx(idxImages, []uint32{0, 4, 4}, nil)}, 16, []string{"at least one", "0 images"}},
		{"no pixels", map[string][]byte{name: idx(idxImages, []uint32{3, 0, 4}, nil)}, 16, []string{"at least one", "0x4"}},
		{"cut gzip", map[string][]byte{name: cut[:len(cut)-12]}, -1, []string{"unpacked", "cut off"}},
		{"cut gzip checksum", map[string][]byte{name: cut[:len(cut)-3]}, 64, []string{"the end", "cut off"}},
		{"cut gzip header", map[string][]byte{name: cut[:5]}, 0, []string{"gzip header"}},
		{"wrong gzip checksum", map[string][]byte{name: wrongSum}, 64, []string{"damaged", "checksum"}},
		{"corrupt gzip", map[string][]byte{name: corrupt}, -1, []string{"damaged"}},
		{"packed and short", map[string][]byte{name: gzipped(t, images[:len(images)-1])}, 63, []string{"3 images", "cut off"}},
		{"packed and a byte too many", map[string][]byte{name: gzipped(t, append(slices.Clone(images), 0))}, 64, []string{"the end", "more bytes"}},
		{"fewer labels", map[string][]byte{name: images, "train-labels-idx1-ubyte": idx(idxLabels, []uint32{2}, []uint8{1, 2})}, 4, []string{"labels", "expected 3", name, "found 2"}},
		{"images for labels", map[string][]byte{name: images, "train-labels-idx1-ubyte": images}, 0, []string{"train-labels-idx1-ubyte", "0x00000801", "0x00000803"}},
		{"short labels", map[string][]byte{name: images, "train-labels-idx1-ubyte": labels[:9]}, 8, []string{"3 labels", "1 bytes"}},
	} {
		t.Run(v.name, func(t *testing.T) {
			dir := folder(t, v.files)
			_, err := Open(context.Background(), dir, Want{Size: 4, Channels: 1})
			var f *FormatError
			if !errors.As(err, &f) {
				t.Fatalf("error %v, want a FormatError", err)
			}
			if v.offset >= 0 && f.Offset != v.offset {
				t.Errorf("offset %d, want %d", f.Offset, v.offset)
			}
			checkLine(t, err, append(v.want, dir, "; ")...)
		})
	}
}

// checkLine checks that an error is one line that says all that is wanted.
func checkLine(t *testing.T, err error, want ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	line := err.Error()
	if strings.Contains(line, "\n") || !strings.HasPrefix(line, "dataset ") {
		t.Errorf("not one line that begins with dataset: %q", line)
	}
	for _, w := range want {
		if !strings.Contains(line, w) {
			t.Errorf("the error does not say %q: %s", w, line)
		}
	}
}

func FuzzIDX(f *testing.F) {
	images, labels, _ := three()
	for _, seed := range [][]byte{
		images, labels, nil, images[:10], gzipped(f, images), gzipped(f, labels), gzipped(f, images)[:30],
		idx(idxImages, []uint32{1 << 31, 1 << 31, 1 << 31}, nil), gzipped(f, idx(idxLabels, []uint32{5000}, nil)),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if s := memorySource(data); s != nil {
			shape, pixels, err := raw.ReadImages(s, func(Shape) error { return nil })
			if err == nil {
				n := len(pixels) / shape.Bytes()
				checkIDX(t, data, idx(idxImages, []uint32{uint32(n), uint32(shape.Height), uint32(shape.Width)}, pixels))
			}
		}
		if s := memorySource(data); s != nil {
			if labels, err := raw.ReadLabels(s); err == nil {
				checkIDX(t, data, idx(idxLabels, []uint32{uint32(len(labels))}, labels))
			}
		}
	})
}

// memorySource is an input over bytes; nil if they are a broken gzip header.
func memorySource(data []byte) *raw.Input {
	s, err := raw.NewInput(context.Background(), "fuzz", io.NopCloser(bytes.NewReader(data)), int64(len(data)))
	if err != nil {
		return nil
	}
	return s
}

// checkIDX checks that what was read, encoded again, is what the file held.
func checkIDX(t *testing.T, data, again []byte) {
	t.Helper()
	if bytes.HasPrefix(data, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		var held bytes.Buffer
		if _, err := held.ReadFrom(z); err != nil {
			t.Fatal(err)
		}
		data = held.Bytes()
	}
	if !bytes.Equal(data, again) {
		t.Fatalf("read %x, which is %x again", data, again)
	}
}
