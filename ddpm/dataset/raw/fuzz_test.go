package raw

import (
	"archive/tar"
	"bytes"
	"runtime"
	"testing"
)

// tarOf writes an archive.
func tarOf(t testing.TB, members files, order []string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, name := range order {
		h := &tar.Header{Name: name, Size: int64(len(members[name])), Mode: 0o644, Typeflag: tar.TypeReg}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(members[name]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// fuzz reads whatever file as a source of the name: it may fail, but not panic, and
// the memory that it takes is in proportion to the file.
func fuzz(f *testing.F, name string, seeds ...[]byte) {
	for _, seed := range seeds {
		f.Add(seed)
		f.Add(seed[:len(seed)/2])
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		s, err := Open(t.Context(), files{name: file}, "")
		if err == nil {
			err = s.Each(t.Context(), func(i Item) error {
				if i.Load != nil {
					_, err := i.Load(t.Context())
					return err
				}
				if i.Image.Width*i.Image.Height*i.Image.Channels != len(i.Image.Pixels) {
					t.Errorf("%dx%dx%d in %d bytes", i.Image.Height, i.Image.Width, i.Image.Channels, len(i.Image.Pixels))
				}
				return nil
			})
		}
		runtime.ReadMemStats(&after)
		// Deflate packs a thousandfold; and an image is copied a few times.
		if took := after.TotalAlloc - before.TotalAlloc; took > 1<<28+uint64(len(file))*maxDeflate*8 {
			t.Errorf("%d bytes of memory for a file of %d (%v)", took, len(file), err)
		}
	})
}

func FuzzTar(f *testing.F) {
	fuzz(f, "x.tar", testdata(f, "folders.tar"), testdata(f, "shard.tar.gz"),
		tarOf(f, files{"data_batch_1.bin": batch(1, 1, 1), "a.png": nil}, []string{"data_batch_1.bin", "a.png"}))
}

func FuzzNPZ(f *testing.F) {
	fuzz(f, "x.npz", testdata(f, "stored.npz"), testdata(f, "deflated.npz"), testdata(f, "grey.npz"))
}

func FuzzIDXStream(f *testing.F) {
	fuzz(f, "train-images-idx3-ubyte", idx(3, []byte{2, 1, 2}, 1, 2, 3, 4), zipped(idx(3, []byte{255, 255, 255}, 1)))
}

func FuzzParquet(f *testing.F) {
	fuzz(f, "x.parquet", testdata(f, "snappy.parquet"))
}

func FuzzNPYHeader(f *testing.F) {
	f.Add([]byte("\x93NUMPY\x01\x00\x3a\x00{'descr': '|u1', 'fortran_order': False, 'shape': (3, 4), } \n"))
	f.Add([]byte("\x93NUMPY\x02\x00\xff\xff\xff\xff{"))
	f.Fuzz(func(t *testing.T, text []byte) {
		a, err := npyHeader(bytes.NewReader(text))
		for _, n := range a.shape {
			if err == nil && n < 1 {
				t.Errorf("shape %v", a.shape)
			}
		}
	})
}
