package ingest_test

import (
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// picture writes a PNG of one pixel.
func picture(t *testing.T, name string, colour uint8) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	img := image.NewGray(image.Rect(0, 0, 1, 1))
	img.SetGray(0, 0, color.Gray{colour})
	if err := png.Encode(f, img); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// A class that is a link to another disk is imported as one that lies there.
func TestLinkedClassIsAClass(t *testing.T) {
	whole, parts, elsewhere := t.TempDir(), t.TempDir(), t.TempDir()
	for k, class := range []string{"ant", "bee", "cow"} {
		in := parts
		if class == "bee" {
			in = elsewhere
		}
		for _, dir := range []string{whole, in} {
			picture(t, filepath.Join(dir, class, "1.png"), uint8(k))
			picture(t, filepath.Join(dir, class, "2.png"), uint8(100+k))
		}
	}
	if err := os.Symlink(filepath.Join(elsewhere, "bee"), filepath.Join(parts, "bee")); err != nil {
		t.Fatal(err)
	}
	var digests []string
	for _, dir := range []string{whole, parts} {
		m, err := newImport(t, dir, store(t, t.TempDir()), 1).Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		digests = append(digests, m.Digest)
		if m.Count != 6 || strings.Join(m.Classes, " ") != "ant bee cow" {
			t.Errorf("%d images of %v", m.Count, m.Classes)
		}
	}
	if digests[0] != digests[1] {
		t.Errorf("linked it is %s, whole %s", digests[1], digests[0])
	}
}
