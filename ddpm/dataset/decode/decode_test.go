package decode

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Pillow's pictures, written by testdata/make.py, in every format and mode.
func TestDecodesWhatOthersWrite(t *testing.T) {
	left, right := [3]int{200, 40, 90}, [3]int{10, 120, 250}
	grey := func(v int) [3]int { return [3]int{v, v, v} }
	for _, v := range []struct {
		file        string
		left, right [3]int
		off         int // how far from it a pixel may be
	}{
		{"rgb.png", left, right, 0},
		{"rgb.bmp", left, right, 0},
		{"rgb.gif", left, right, 0},
		{"palette.png", left, right, 40}, // Pillow's web palette
		{"lossless.webp", left, right, 0},
		{"lossy.webp", left, right, 4},
		{"baseline.jpg", left, right, 2},
		{"progressive.jpg", left, right, 2},
		{"cmyk.jpg", left, right, 2},
		{"grey.png", grey(94), grey(102), 0},
		{"grey.jpg", grey(94), grey(102), 1},
		{"alpha.png", [3]int{227, 147, 172}, [3]int{132, 187, 252}, 0}, // 128/255 of it over white
		{"alpha.webp", [3]int{227, 147, 172}, [3]int{132, 187, 252}, 0},
	} {
		t.Run(v.file, func(t *testing.T) {
			img, err := Decode(read(t, v.file), 3)
			if err != nil {
				t.Fatal(err)
			}
			if img.Width != 16 || img.Height != 12 || len(img.Pixels) != 16*12*3 {
				t.Fatalf("%dx%d in %d bytes", img.Width, img.Height, len(img.Pixels))
			}
			for x, want := range map[int][3]int{2: v.left, 13: v.right} {
				for c := range 3 {
					if got := int(img.Pixels[(5*16+x)*3+c]); got < want[c]-v.off || got > want[c]+v.off {
						t.Errorf("column %d, channel %d is %d, want %d", x, c, got, want[c])
					}
				}
			}
			one, err := Decode(read(t, v.file), 1)
			if err != nil || len(one.Pixels) != 16*12 {
				t.Errorf("%d bytes of grey, %v", len(one.Pixels), err)
			}
			for _, cut := range []int{0, 3, 20, 40} {
				if _, err := Decode(read(t, v.file)[:cut], 3); err == nil {
					t.Errorf("the first %d bytes are an image", cut)
				}
			}
		})
	}
}

func TestRefusesBombs(t *testing.T) {
	bomb := read(t, "rgb.png")
	copy(bomb[16:24], "\x00\x01\x00\x00\x00\x01\x00\x00") // 65536x65536
	if _, err := Decode(bomb, 3); err == nil || !strings.Contains(err.Error(), "PNG") {
		t.Errorf("a picture of 4 billion pixels: %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	names, err := filepath.Glob("testdata/*.*")
	if err != nil || len(names) < 10 {
		f.Fatalf("%d pictures, %v", len(names), err)
	}
	for _, name := range names {
		content, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(content)
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		img, err := Decode(file, 1)
		if err == nil && len(img.Pixels) != img.Width*img.Height {
			t.Errorf("%dx%d in %d bytes", img.Width, img.Height, len(img.Pixels))
		}
	})
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return content
}
