package dataset

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestOpenSaysWhatIsWrong(t *testing.T) {
	images, _, _ := three()
	some := batches()
	delete(some, "data_batch_4.bin")
	dir := folder(t, map[string][]byte{
		"empty/readme":                      nil,
		"both/train-images-idx3-ubyte":      images,
		"both/data_batch_1.bin":             nil,
		"both/data_batch_2.bin":             nil,
		"both/data_batch_3.bin":             nil,
		"both/data_batch_4.bin":             nil,
		"both/data_batch_5.bin":             nil,
		"cifar-10-binary.tar.gz":            nil,
		"idx/train-images-idx3-ubyte":       images,
		"some/data_batch_1.bin":             some["data_batch_1.bin"],
		"some/data_batch_2.bin":             some["data_batch_2.bin"],
		"some/data_batch_3.bin":             some["data_batch_3.bin"],
		"some/data_batch_5.bin":             some["data_batch_5.bin"],
		"cifar/cifar-10-batches-bin/ignore": nil,
		"cifar/test_batch.bin":              records(1, 0),
	})
	at := func(name string) string { return filepath.Join(dir, name) }
	const use = "give MNIST IDX or CIFAR-10 files, images in a form that ddpmctl data import knows, or glyphs:// for the built-in digits"
	for _, v := range []struct {
		name, uri string
		want      []string
	}{
		{"nothing", "", []string{`dataset ""`, use}},
		{"file without a path", "file://", []string{"no path", use}},
		{"not there", "/no/such/data", []string{"dataset /no/such/data: no such file or directory; " + use}},
		{"not there, as file://", "file:///no/such/data", []string{"dataset /no/such/data: no such file or directory; " + use}},
		{"an unknown scheme", "s3://bucket/x", []string{"dataset s3://bucket/x:", `"s3"`, "glyphs", "file", use}},
		{"an empty folder", at("empty"), []string{at("empty"), "train-images-idx3-ubyte", "data_batch_1.bin", use}},
		{"two kinds", at("both"), []string{at("both"), "both IDX", "name one"}},
		{"a batch missing", at("some"), []string{at("some"), "data_batch_4.bin is not"}},
		{"an archive", at("cifar-10-binary.tar.gz"), []string{"unpack it"}},
		{"IDX of another shape", at("idx"), []string{"idx/train-images-idx3-ubyte", "4x4x1", "16x16x1", "--preset four"}},
		{"CIFAR-10 of another shape", at("cifar"), []string{at("cifar"), "32x32x3", "16x16x1", "or another preset"}},
		{"glyphs of another shape", "glyphs://?size=28", []string{"glyphs://?size=28", "28x28x1", "16x16x1", "left out"}},
	} {
		t.Run(v.name, func(t *testing.T) {
			_, err := Open(context.Background(), v.uri, Want{Size: 16, Channels: 1, Fits: func(s Shape) []string {
				if s == (Shape{Height: 4, Width: 4, Channels: 1}) {
					return []string{"four"}
				}
				return nil
			}})
			checkLine(t, err, v.want...)
		})
	}
	if _, err := Open(context.Background(), at("none"), Want{Size: 16, Channels: 1}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file is %v, want fs.ErrNotExist inside", err)
	}
}

// A file URI is escaped, and a name that has a percent sign is found as it is, too.
func TestOpenUnescapesFileURIs(t *testing.T) {
	images, _, _ := three()
	array, err := os.ReadFile("raw/testdata/stored.npz")
	if err != nil {
		t.Fatal(err)
	}
	dir := folder(t, map[string][]byte{
		"my digits/train-images-idx3-ubyte": images, "50%/train-images-idx3-ubyte": images,
		"my file.npz": array, "my%20other.npz": array,
	})
	p, _ := places(t, t.TempDir())
	for name, want := range map[string]Want{
		"my%20digits": {Size: 4, Channels: 1}, "my digits": {Size: 4, Channels: 1}, "50%": {Size: 4, Channels: 1},
		"my%20file.npz": {Size: 16, Channels: 3}, "my%20other.npz": {Size: 16, Channels: 3},
	} {
		d, err := p.Open(t.Context(), "file://"+dir+"/"+name, want)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if c, ok := d.(io.Closer); ok {
			_ = c.Close()
		}
	}
}

func TestOpenStopsWithTheContext(t *testing.T) {
	images, _, _ := three()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for name, content := range map[string][]byte{"train-images-idx3-ubyte": images, "test_batch.bin": records(1, 0)} {
		want := Want{Size: 4, Channels: 1}
		if name == "test_batch.bin" {
			want = Want{Size: 32, Channels: 3}
		}
		if _, err := Open(ctx, folder(t, map[string][]byte{name: content}), want); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v, want context.Canceled", name, err)
		}
	}
}

func TestExampleChecksItsArguments(t *testing.T) {
	images, _, _ := three()
	read, err := Open(context.Background(), folder(t, map[string][]byte{"train-images-idx3-ubyte": images}), Want{Size: 4, Channels: 1})
	if err != nil {
		t.Fatal(err)
	}
	drawn, err := Open(context.Background(), "glyphs://?n=3", Want{Size: 8, Channels: 3})
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range []Dataset{read, drawn} {
		full := make([]uint8, d.Shape().Bytes())
		for _, i := range []int{-1, 3} {
			checkLine(t, d.Example(i, full), d.URI(), "no example", "0 to 2")
		}
		checkLine(t, d.Example(0, full[1:]), d.URI(), d.Shape().String())
		checkLine(t, d.Example(0, append(full, 0)), d.URI(), d.Shape().String())
	}
}

// The real thing, where it lies beside the repository.
func TestRealMNIST(t *testing.T) {
	dir := filepath.Join(repositoryRoot(t), "..", "shared", "data", "mnist")
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("no MNIST files in %s", dir)
	}
	d, err := Open(context.Background(), dir, Want{Size: 28, Channels: 1})
	if err != nil {
		t.Fatal(err)
	}
	if d.Len() != 10000 && d.Len() != 60000 {
		t.Errorf("%d images, want MNIST's 10000 or 60000", d.Len())
	}
	l, ok := d.(Labeled)
	if !ok {
		t.Fatal("MNIST's labels lie beside its images")
	}
	var counts [classes]int
	var sum int
	for i := range d.Len() {
		counts[l.Label(i)]++
		for _, v := range example(t, d, i) {
			sum += int(v)
		}
	}
	for class, n := range counts {
		if n < d.Len()*85/1000 || n > d.Len()*12/100 {
			t.Errorf("class %d has %d images", class, n)
		}
	}
	// MNIST's mean pixel is 0.1307 of white in training, 0.1325 in test.
	if mean := float64(sum) / float64(d.Len()*d.Shape().Bytes()) / 255; mean < 0.13 || mean > 0.133 {
		t.Errorf("mean pixel %.4f, want 0.13 to 0.133", mean)
	}
}

// repositoryRoot walks up to go.mod.
func repositoryRoot(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		up := filepath.Dir(dir)
		if up == dir {
			t.Fatal("no go.mod above the test")
		}
		dir = up
	}
}
