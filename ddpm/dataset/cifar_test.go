package dataset

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/dataset/raw"
)

// The binary CIFAR-10 format: a label of ten and three planes of 32x32 pixels.
const (
	cifarPlane  = 32 * 32
	cifarRecord = 1 + 3*cifarPlane
	cifarLabels = 10
)

// records encodes n CIFAR-10 records: label first+k, pixels from a ramp.
func records(n, first int) []byte {
	var b []byte
	for k := range n {
		b = append(b, uint8((first+k)%cifarLabels))
		b = append(b, ramp(3*cifarPlane + first + k)[first+k:]...)
	}
	return b
}

func batches() map[string][]byte {
	files := map[string][]byte{"test_batch.bin": records(1, 9)}
	for k, name := range cifarTrainNames() {
		files[name] = records(2, 2*k)
	}
	return files
}

func under(dir string, files map[string][]byte) map[string][]byte {
	moved := map[string][]byte{}
	for name, content := range files {
		moved[filepath.Join(dir, name)] = content
	}
	return moved
}

func TestOpenCIFAR(t *testing.T) {
	for _, v := range []struct {
		name  string
		files map[string][]byte
		open  string
		uses  string
		n     int
		first int
	}{
		{"the training set before the test set", batches(), "", "", 10, 0},
		{"the archive's folder", under(cifarFolder, batches()), "", cifarFolder, 10, 0},
		{"the test set alone", map[string][]byte{"test_batch.bin": records(3, 4)}, "", "", 3, 4},
		{"one file", batches(), "data_batch_3.bin", "data_batch_3.bin", 2, 4},
		{"one file of another name", map[string][]byte{"few.BIN": records(1, 5)}, "few.BIN", "few.BIN", 1, 5},
	} {
		t.Run(v.name, func(t *testing.T) {
			dir := folder(t, v.files)
			d, err := Open(context.Background(), filepath.Join(dir, v.open), Want{Size: 32, Channels: 3})
			if err != nil {
				t.Fatal(err)
			}
			if got, want := d.URI(), filepath.Join(dir, v.uses); got != want {
				t.Errorf("URI %s, want %s", got, want)
			}
			if d.Len() != v.n || d.Shape() != raw.CIFARShape() {
				t.Fatalf("%d images of %v, want %d", d.Len(), d.Shape(), v.n)
			}
			for i := range d.Len() {
				if got, want := d.(Labeled).Label(i), (v.first+i)%cifarLabels; got != want {
					t.Errorf("label of %d is %d, want %d", i, got, want)
				}
				planes, pixels := ramp(3*cifarPlane + v.first + i)[v.first+i:], example(t, d, i)
				for k := range pixels {
					if want := planes[k%3*cifarPlane+k/3]; pixels[k] != want {
						t.Fatalf("example %d, byte %d is %d, want %d", i, k, pixels[k], want)
					}
				}
			}
		})
	}
}

func TestCIFARErrors(t *testing.T) {
	two := records(2, 0)
	badLabel := slices.Clone(two)
	badLabel[cifarRecord] = 213
	for _, v := range []struct {
		name   string
		file   []byte
		offset int64
		want   []string
	}{
		{"empty", nil, 0, []string{"3073", "0 whole records"}},
		{"short by a byte", two[:len(two)-1], cifarRecord, []string{"3073", "1 whole records and then 3072 bytes"}},
		{"a byte too many", append(slices.Clone(two), 1), 2 * cifarRecord, []string{"2 whole records and then 1 bytes"}},
		{"no label", badLabel, cifarRecord, []string{"0 to 9", "213", "binary version"}},
		{"gzip", gzipped(t, two), 0, []string{"gzip", "gunzip"}},
	} {
		t.Run(v.name, func(t *testing.T) {
			path := filepath.Join(folder(t, map[string][]byte{"data_batch_1.bin": v.file}), "data_batch_1.bin")
			_, err := Open(context.Background(), path, Want{Size: 32, Channels: 3})
			var f *FormatError
			if !errors.As(err, &f) {
				t.Fatalf("error %v, want a FormatError", err)
			}
			if f.Offset != v.offset {
				t.Errorf("offset %d, want %d", f.Offset, v.offset)
			}
			checkLine(t, err, append(v.want, path, fmt.Sprintf("at byte %d", v.offset))...)
		})
	}
}

func FuzzCIFAR(f *testing.F) {
	for _, seed := range [][]byte{nil, records(1, 3), records(2, 9), records(2, 0)[:4000], gzipped(f, records(1, 0))} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s := memorySource(data)
		if s == nil {
			return
		}
		pixels, labels, err := raw.ReadCIFAR(s, nil, nil)
		if err != nil {
			return
		}
		var again []byte
		for i, label := range labels {
			again = append(again, label)
			for c := range 3 {
				for p := range cifarPlane {
					again = append(again, pixels[i*3*cifarPlane+3*p+c])
				}
			}
		}
		if !bytes.Equal(data, again) {
			t.Fatalf("%d bytes read are %d others when written again", len(data), len(again))
		}
	})
}
