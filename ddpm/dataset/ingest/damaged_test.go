package ingest_test

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/dataset/raw"
)

// arrays writes an npz of n images of 96x96x3 to dir, all pixels of one value; one that is
// damaged has a byte more than it says.
func arrays(t *testing.T, dir string, n int, value byte, damaged bool) {
	t.Helper()
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	member, err := w.Create("arr_0.npy")
	if err != nil {
		t.Fatal(err)
	}
	header := fmt.Sprintf("{'descr': '|u1', 'fortran_order': False, 'shape': (%d, 96, 96, 3), }\n", n)
	content := append([]byte("\x93NUMPY\x01\x00"), byte(len(header)), 0)
	content = append(append(content, header...), bytes.Repeat([]byte{value}, n*96*96*3)...)
	if damaged {
		content = append(content, 0)
	}
	if _, err := member.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "a.npz"), out.Bytes(), 0o666); err != nil {
		t.Fatal(err)
	}
}

// That a source is damaged shows at its end, where its first images are in an object
// already. The import of a whole one does not go on behind them.
func TestNothingGoesOnBehindADamagedSource(t *testing.T) {
	dir, place := t.TempDir(), t.TempDir()
	arrays(t, dir, 1300, 0, true) // an object has 1213
	run := func() error {
		_, err := newImport(t, dir, store(t, place), 2).Run(t.Context())
		return err
	}
	if err := run(); !errors.Is(err, raw.ErrDamaged) || !strings.Contains(err.Error(), "remove datasets/x/import.json") {
		t.Errorf("importing a damaged array: %v", err)
	}
	arrays(t, dir, 1300, 0, false)
	if err := run(); err == nil || !strings.Contains(err.Error(), "was damaged") || !strings.Contains(err.Error(), "remove datasets/x/import.json") {
		t.Errorf("going on with a whole one: %v", err)
	}
	if err := os.RemoveAll(filepath.Join(place, "datasets/x")); err != nil {
		t.Fatal(err)
	}
	if err := run(); err != nil {
		t.Errorf("beginning anew: %v", err)
	}
}
