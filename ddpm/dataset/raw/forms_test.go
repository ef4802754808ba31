package raw

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// idx encodes an IDX file.
func idx(magic byte, dims []byte, elements ...byte) []byte {
	b := []byte{0, 0, 8, magic}
	for _, d := range dims {
		b = append(b, 0, 0, 0, d)
	}
	return append(b, elements...)
}

func zipped(b []byte) []byte {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	_, _ = z.Write(b)
	_ = z.Close()
	return out.Bytes()
}

// batch is n records of CIFAR-10 of one colour.
func batch(n int, label, colour byte) []byte {
	return bytes.Repeat(append([]byte{label}, bytes.Repeat([]byte{colour}, 3072)...), n)
}

// coloured is what make.py's images are.
func coloured(label func(i int) int, class func(i int) string) []string {
	var list []string
	for i := range 5 {
		list = append(list, seen{label(i), class(i), "4x6x3", []byte{byte(i), byte(2 * i), byte(3 * i)}}.String())
	}
	return list
}

func TestForms(t *testing.T) {
	names := []string{"ant", "bee", "cow"}
	mod3 := func(i int) int { return i % 3 }
	none := func(int) int { return NoLabel }
	nameless := func(int) string { return "" }
	name := func(i int) string { return names[i%3] }
	png := func(k int) []byte { // of the shard
		var content []byte
		s, err := Open(t.Context(), files{"x.tar": testdata(t, "folders.tar")}, "")
		if err != nil {
			t.Fatal(err)
		}
		stop := errors.New("found")
		err = s.Each(t.Context(), func(i Item) (err error) {
			if k--; k >= 0 {
				return nil
			}
			content, _ = i.Load(t.Context())
			return stop
		})
		if !errors.Is(err, stop) {
			t.Fatal(err)
		}
		return content
	}
	grey := []string{`0 "" 4x6x1 [0]`, `1 "" 4x6x1 [3]`, `2 "" 4x6x1 [6]`, `0 "" 4x6x1 [9]`, `1 "" 4x6x1 [12]`}
	cifar := files{"test_batch.bin": batch(1, 9, 9), "readme.html": nil}
	for k := range 5 {
		cifar[fmt.Sprintf("cifar-10-batches-bin/data_batch_%d.bin", 5-k)] = batch(1, byte(5-k), byte(50-k))
	}
	var five []string
	for k := range 5 {
		c := byte(46 + k)
		five = append(five, seen{k + 1, "", "32x32x3", []byte{c, c, c}}.String())
	}
	for _, v := range []struct {
		name    string
		files   files
		key     string
		form    string
		images  int
		classes []string
		want    []string
	}{
		{"IDX", files{"a/train-images-idx3-ubyte.gz": zipped(idx(3, []byte{2, 1, 2}, 1, 2, 3, 4)), "a/train-labels-idx1-ubyte": idx(1, []byte{2}, 7, 0), "t10k-images-idx3-ubyte": idx(3, []byte{1, 1, 1}, 1)},
			"", "IDX", 2, nil, []string{`7 "" 1x2x1 [1]`, `0 "" 1x2x1 [3]`}},
		{"IDX of another name", files{"digits": idx(3, []byte{1, 2, 1}, 5, 6)}, "digits", "IDX", 1, nil, []string{`-1 "" 2x1x1 [5]`}},
		{"CIFAR-10", cifar, "", "CIFAR-10", 5, cifarClasses(), five},
		{"a CIFAR-10 file", files{"x.bin": batch(2, 3, 8)}, "x.bin", "CIFAR-10", 2, cifarClasses(), []string{`3 "" 32x32x3 [8 8 8]`, `3 "" 32x32x3 [8 8 8]`}},
		{"a folder", files{"b/2.PNG": png(1), "a/9.png": png(4), "b/.x.png": nil, "b/notes.txt": nil, "top.png": png(0)},
			"", "folder", 3, nil, []string{`-1 "a" 4x6x3 [4 8 12]`, `-1 "b" 4x6x3 [1 2 3]`, `-1 "" 4x6x3 [0 0 0]`}},
		{"a tar of folders", files{"x.tar": testdata(t, "folders.tar")}, "x.tar", "tar", 0, nil, coloured(none, name)},
		{"webdataset", files{"train-000.tar.gz": testdata(t, "shard.tar.gz"), "train-001.tgz": testdata(t, "shard.tar.gz"), "val-000.tar": nil},
			"", "tar", 0, nil, slices.Concat(coloured(mod3, nameless), coloured(mod3, nameless))},
		{"npz", files{"x.npz": testdata(t, "stored.npz")}, "", "npz", 5, nil, coloured(mod3, nameless)},
		{"npz, packed", files{"x.npz": testdata(t, "deflated.npz")}, "x.npz", "npz", 5, nil, coloured(none, nameless)},
		{"npz, grey", files{"x.npz": testdata(t, "grey.npz")}, "", "npz", 5, nil, grey},
		{"parquet", files{"data/train-0.parquet": testdata(t, "snappy.parquet"), "data/train-1.parquet": testdata(t, "zstd.parquet"), "data/test-0.parquet": nil, "README.md": nil},
			"", "parquet", 10, names, slices.Concat(coloured(mod3, nameless), coloured(mod3, nameless))},
	} {
		t.Run(v.name, func(t *testing.T) {
			s, err := Open(t.Context(), v.files, v.key)
			if err != nil {
				t.Fatal(err)
			}
			if s.Form != v.form || s.Images != v.images || !slices.Equal(s.Classes, v.classes) {
				t.Errorf("%s with %d images of %v, want %s with %d of %v", s.Form, s.Images, s.Classes, v.form, v.images, v.classes)
			}
			for range 2 { // a source can be read again
				var got []string
				list, err := look(t.Context(), s)
				for _, item := range list {
					got = append(got, item.String())
				}
				if err != nil || !slices.Equal(got, v.want) {
					t.Errorf("%v\n%s\nwant\n%s", err, strings.Join(got, "\n"), strings.Join(v.want, "\n"))
				}
			}
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if _, err := look(ctx, s); !errors.Is(err, context.Canceled) {
				t.Errorf("with a context that is over: %v", err)
			}
		})
	}
}

// The official archive has the batches in another order than their numbers'.
func TestCIFARArchive(t *testing.T) {
	members := files{}
	var order []string
	for _, k := range []int{1, 4, 3, 5, 2} {
		name := fmt.Sprintf("cifar-10-batches-bin/data_batch_%d.bin", k)
		members[name], order = batch(1, byte(k), byte(k)), append(order, name)
	}
	members["cifar-10-batches-bin/test_batch.bin"], order = batch(1, 9, 9), append(order, "cifar-10-batches-bin/test_batch.bin")
	s, err := Open(t.Context(), files{"cifar-10-binary.tar.gz": zipped(tarOf(t, members, order))}, "")
	if err != nil {
		t.Fatal(err)
	}
	list, err := look(t.Context(), s)
	if err != nil || len(list) != 5 || s.Images != 5 {
		t.Fatalf("%d of %d images, %v", len(list), s.Images, err)
	}
	for k, item := range list {
		if item.label != k+1 || item.first[0] != byte(k+1) {
			t.Errorf("image %d is %v", k, item)
		}
	}
	delete(members, order[1])
	if _, err := Open(t.Context(), files{"c.tar": tarOf(t, members, slices.Delete(order, 1, 2))}, ""); err == nil || !strings.Contains(err.Error(), "data_batch_4.bin") {
		t.Errorf("a batch is missing: %v", err)
	}
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	for name, v := range map[string]struct {
		files files
		key   string
		want  []string
	}{
		"nothing":         {files{"other": nil}, "data", []string{"nothing at", "give MNIST"}},
		"unknown files":   {files{"a.txt": nil, "b.csv": nil}, "", []string{"none of its 2 files", "give MNIST"}},
		"an empty tar":    {files{"a.tar": make([]byte, 1024)}, "", []string{"a.tar", "neither images"}},
		"a damaged tar":   {files{"a.tar": bytes.Repeat([]byte("x"), 2048)}, "", []string{"a.tar", "damaged"}},
		"no npz":          {files{"a.npz": []byte("PK")}, "", []string{"a.npz", "no npz"}},
		"no parquet":      {files{"a.parquet": []byte("PAR1PAR1")}, "", []string{"a.parquet", "no parquet"}},
		"no LMDB":         {files{"data.mdb": make([]byte, 9000)}, "", []string{"data.mdb", "no LMDB"}},
		"a broken header": {files{"digits": []byte("digits")}, "digits", []string{"magic"}},
		"labels missing": {files{"train-images-idx3-ubyte": idx(3, []byte{2, 1, 1}, 1, 2), "train-labels-idx1-ubyte": idx(1, []byte{1}, 1)}, "",
			[]string{"expected 2 labels", "found 1"}},
	} {
		s, err := Open(t.Context(), v.files, v.key)
		if err == nil {
			_, err = look(t.Context(), s)
		}
		for _, part := range v.want {
			if err == nil || !strings.Contains(err.Error(), part) {
				t.Errorf("%s: %v, want %q in it", name, err, part)
			}
		}
	}
}

// LSUN's form: image files as values, of which the folder is the class.
func TestLMDB(t *testing.T) {
	content, err := os.ReadFile("../lmdb/testdata/lsun/data.mdb")
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), files{"bedroom/data.mdb": content, "bedroom/lock.mdb": nil}, "")
	if err != nil {
		t.Fatal(err)
	}
	list, err := look(t.Context(), s)
	if err != nil || len(list) != 60 || s.Images != 60 || s.Form != "LMDB" {
		t.Fatalf("%d of %d images of an %s, %v", len(list), s.Images, s.Form, err)
	}
	large := 0
	for _, item := range list {
		if item.class != "bedroom" || item.label != NoLabel {
			t.Errorf("an image of class %q", item.class)
		}
		if strings.HasPrefix(item.shape, "256x") {
			large++
		}
	}
	if large != 3 {
		t.Errorf("%d images are large, want 3", large)
	}
}
