package resize

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"runtime"
	"strings"
	"testing"
)

// pattern is an image with edges and slopes, in integers.
func pattern(w, h, channels int) Image {
	img := Image{Width: w, Height: h, Channels: channels, Pixels: make([]byte, w*h*channels)}
	for i := range img.Pixels {
		c, x, y := i%channels, i/channels%w, i/channels/w
		v := (x*x*3 + y*y*5 + x*y*7*(c+1)) / 16
		if (x/7+y/5)%2 == 0 {
			v = 255 - v%256
		}
		img.Pixels[i] = byte(v)
	}
	return img
}

// The bytes are part of what a dataset's digest names.
func TestRulesAreFixed(t *testing.T) {
	for _, v := range []struct{ rule, want string }{
		{BoxBicubic, "59f95b21c76dcdf6a7f498e1d24578ace6886a08b28974057ea5735746f24e81"},
		{Bicubic, "0f0a4e741a242a1561e64d23cbee9d8569271c51a025b410205def8fa3adeee8"},
		{Box, "8e4baf08f98a6ab8b94254c8728300abe2af4c70e70c5f78c09a294d1ce776fa"},
	} {
		h := sha256.New()
		for _, size := range [][2]int{{100, 75}, {33, 64}, {500, 300}, {16, 20}, {1, 9}, {31, 31}} {
			for _, channels := range []int{1, 3} {
				out, err := Square(pattern(size[0], size[1], channels), 32, v.rule)
				if err != nil || out.Width != 32 || out.Height != 32 || len(out.Pixels) != 32*32*channels {
					t.Fatalf("%s of %v: %v", v.rule, size, err)
				}
				h.Write(out.Pixels)
			}
		}
		if got := hex.EncodeToString(h.Sum(nil)); got != v.want {
			t.Errorf("%s gives %s, want %s", v.rule, got, v.want)
		}
	}
}

func TestNothingChangesAtTheSize(t *testing.T) {
	img := pattern(32, 32, 3)
	for _, rule := range Rules() {
		out, err := Square(img, 32, rule)
		if err != nil || !bytes.Equal(out.Pixels, img.Pixels) {
			t.Errorf("%s changes an image that has the size already: %v", rule, err)
		}
	}
	if _, err := Square(pattern(32, 33, 3), 32, None); err == nil {
		t.Error("none takes another size")
	}
	if Check("lanczos") == nil || Check(Box) != nil {
		t.Error("Check is wrong about rules")
	}
}

// One colour stays that colour, and a mirrored image gives the mirrored result.
func TestRulesKeepColourAndSymmetry(t *testing.T) {
	for _, rule := range []string{BoxBicubic, Bicubic, Box} {
		for _, size := range [][2]int{{101, 77}, {20, 30}, {64, 64}, {1000, 41}} {
			flat := Image{Width: size[0], Height: size[1], Channels: 1, Pixels: bytes.Repeat([]byte{201}, size[0]*size[1])}
			out, err := Square(flat, 40, rule)
			if err != nil || !bytes.Equal(out.Pixels, bytes.Repeat([]byte{201}, 1600)) {
				t.Errorf("%s of one colour at %v is not one colour: %v", rule, size, err)
			}
		}
		a, _ := Square(pattern(90, 90, 1), 40, rule)
		b, _ := Square(mirror(pattern(90, 90, 1)), 40, rule)
		b = mirror(b)
		for i := range a.Pixels {
			if d := int(a.Pixels[i]) - int(b.Pixels[i]); d < -1 || d > 1 {
				t.Fatalf("%s: pixel %d is %d, mirrored %d", rule, i, a.Pixels[i], b.Pixels[i])
			}
		}
	}
}

func mirror(img Image) Image {
	out := Image{Width: img.Width, Height: img.Height, Channels: img.Channels, Pixels: make([]byte, len(img.Pixels))}
	for i := range img.Pixels {
		x, y := i%img.Width, i/img.Width
		out.Pixels[y*img.Width+img.Width-1-x] = img.Pixels[i]
	}
	return out
}

// What is cut off need not be computed, and leaving it out changes nothing.
func TestCutIsThatOfTheWhole(t *testing.T) {
	for name, filter := range map[string]filter{"bicubic": cubicFilter, "box": boxFilter} {
		for _, sides := range [][2]int{{1, 9}, {9, 1}, {1, 500}, {3, 400}, {400, 3}, {33, 64}, {64, 33}, {100, 751}, {751, 100}, {31, 31}, {90, 91}} {
			for _, size := range []int{1, 2, 7, 32, 33} {
				img := pattern(sides[0], sides[1], 3)
				shorter := min(sides[0], sides[1])
				across := cut(filter, sides[0], scaled(sides[0], shorter, size), size)
				down := cut(filter, sides[1], scaled(sides[1], shorter, size), size)
				want := vertical(horizontal(img, across), down)
				got, err := fit(img, size, filter)
				if err != nil || !bytes.Equal(got.Pixels, want.Pixels) {
					t.Errorf("%s of %v to %d is not the middle of the whole: %v", name, sides, size, err)
				}
			}
		}
	}
}

// A file of some kilobytes can hold an image a pixel wide and millions long. Resizing
// it takes memory as the result does.
func TestLongImagesTakeLittleMemory(t *testing.T) {
	const long, size = 2_000_000, 64
	for _, rule := range []string{BoxBicubic, Bicubic, Box} {
		for _, sides := range [][2]int{{1, long}, {long, 1}} {
			img := pattern(sides[0], sides[1], 1)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			out, err := Square(img, size, rule)
			runtime.ReadMemStats(&after)
			if err != nil || len(out.Pixels) != size*size {
				t.Errorf("%s of %v: %v", rule, sides, err)
			}
			if took := after.TotalAlloc - before.TotalAlloc; took > long {
				t.Errorf("%s of %v takes %d bytes of memory", rule, sides, took)
			}
		}
	}
}

func TestImmeasurableImagesAreRefused(t *testing.T) {
	const long = 1 << 26
	img := Image{Width: 1, Height: long, Channels: 1, Pixels: make([]byte, long)}
	for _, rule := range []string{BoxBicubic, Bicubic, Box} {
		if _, err := Square(img, 4096, rule); err == nil || !strings.Contains(err.Error(), "longer side") {
			t.Errorf("%s of 1x%d to 4096x4096: %v", rule, long, err)
		}
		if _, err := Square(img, 512, rule); err != nil {
			t.Errorf("%s of 1x%d to 512x512: %v", rule, long, err)
		}
	}
}
