package raw

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// npzOf writes an npz of n images of 4x6x3, with more bytes behind an array than its
// shape says.
func npzOf(t *testing.T, n int, more map[string]int, method uint16) []byte {
	t.Helper()
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for _, a := range []struct {
		name, kind, shape string
		size              int
	}{{"arr_0.npy", "|u1", fmt.Sprintf("%d, 4, 6, 3", n), n * 4 * 6 * 3}, {"arr_1.npy", "|u1", fmt.Sprintf("%d,", n), n}} {
		header := fmt.Sprintf("{'descr': '%s', 'fortran_order': False, 'shape': (%s), }\n", a.kind, a.shape)
		content := append([]byte("\x93NUMPY\x01\x00"), byte(len(header)), 0)
		content = append(append(content, header...), bytes.Repeat([]byte{7}, a.size+more[a.name])...)
		member, err := w.CreateHeader(&zip.FileHeader{Name: a.name, Method: method})
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
