package raw

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// npyOf is an array as numpy saves it.
func npyOf(kind, shape string, elements []byte) []byte {
	header := fmt.Sprintf("{'descr': '%s', 'fortran_order': False, 'shape': (%s), }\n", kind, shape)
	content := append([]byte("\x93NUMPY\x01\x00"), byte(len(header)), 0)
	return append(append(content, header...), elements...)
}

// zipOf packs images and labels.
func zipOf(t *testing.T, method uint16, images, labels []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for k, content := range [][]byte{images, labels} {
		member, err := w.CreateHeader(&zip.FileHeader{Name: fmt.Sprintf("arr_%d.npy", k), Method: method})
		if err == nil {
			_, err = member.Write(content)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// npzOf writes an npz of n images of 4x6x3, with more bytes behind an array than its
// shape says.
func npzOf(t *testing.T, n int, more map[string]int, method uint16) []byte {
	t.Helper()
	images := npyOf("|u1", fmt.Sprintf("%d, 4, 6, 3", n), bytes.Repeat([]byte{7}, n*4*6*3+more["arr_0.npy"]))
	return zipOf(t, method, images, npyOf("|u1", fmt.Sprintf("%d,", n), bytes.Repeat([]byte{7}, n+more["arr_1.npy"])))
}

// A label below 0 says that there is none, in whatever width; the same bits without a sign
// are a class.
func TestLabelsOfNPZ(t *testing.T) {
	for kind, v := range map[string]struct {
		labels []byte
		want   [3]int
	}{
		"|i1": {[]byte{0xff, 0x80, 0x7f}, [3]int{NoLabel, NoLabel, 127}},
		"|u1": {[]byte{0xff, 0x80, 0x7f}, [3]int{255, 128, 127}},
		"<i2": {[]byte{0xff, 0xff, 0, 0x80, 0xff, 0x7f}, [3]int{NoLabel, NoLabel, 32767}},
		"<u2": {[]byte{0xff, 0xff, 0, 0x80, 0xff, 0x7f}, [3]int{65535, 32768, 32767}},
		"<i4": {[]byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0x80, 3, 2, 1, 0}, [3]int{NoLabel, NoLabel, 66051}},
		"<i8": {append(bytes.Repeat([]byte{0xff}, 8), 0, 0, 0, 0, 0, 0, 0, 0x80, 3, 2, 1, 0, 0, 0, 0, 0), [3]int{NoLabel, NoLabel, 66051}},
	} {
		content := zipOf(t, zip.Deflate, npyOf("|u1", "3, 1, 1", []byte{1, 2, 3}), npyOf(kind, "3,", v.labels))
		s, err := Open(t.Context(), files{"x.npz": content}, "")
		if err != nil {
			t.Fatal(err)
		}
		items, err := look(t.Context(), s)
		if err != nil || len(items) != 3 {
			t.Fatalf("%s: %d images, %v", kind, len(items), err)
		}
		for k, item := range items {
			if item.label != v.want[k] {
				t.Errorf("%s: label %d is %d, want %d", kind, k, item.label, v.want[k])
			}
		}
	}
}

// Whichever byte of an array is another than numpy wrote, and wherever there is more
// than the shape says, the end tells.
func TestDamagedNPZ(t *testing.T) {
	read := func(content []byte) error {
		s, err := Open(t.Context(), files{"x.npz": content}, "")
		if err != nil {
			return err
		}
		_, err = look(t.Context(), s)
		return err
	}
	// One that is larger than what is read at once, and a small one.
	for _, n := range []int{5, 3000} {
		for _, method := range []uint16{zip.Store, zip.Deflate} {
			if err := read(npzOf(t, n, nil, method)); err != nil {
				t.Fatalf("%d images: %v", n, err)
			}
			for array, what := range map[string]string{"arr_0": "image", "arr_1": "label"} {
				err := read(npzOf(t, n, map[string]int{array + ".npy": 1}, method))
				want := fmt.Sprintf("x.npz: %s: after %s %d of %d: damaged: more bytes follow than its shape says; %s", array, what, n-1, n, FixDownload)
				if err == nil || err.Error() != want || !errors.Is(err, ErrDamaged) {
					t.Errorf("a byte more of %s: %v\nwant %s", array, err, want)
				}
			}
		}
	}
	stored := testdata(t, "stored.npz")
	for array, content := range map[string][]byte{"arr_0": {4, 8, 12, 4, 8, 12}, "arr_1": {2, 0, 0, 0, 0, 0, 0, 0}} {
		at := bytes.Index(stored, content)
		damaged := bytes.Clone(stored)
		damaged[at] ^= 1
		if err := read(damaged); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), array+": after") || !strings.Contains(err.Error(), "checksum") {
			t.Errorf("a bit of %s is another: %v", array, err)
		}
	}
}
