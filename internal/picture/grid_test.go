package picture

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"testing"
)

// images makes n images whose every byte is different from its neighbours.
func images(n, size, channels int) [][]uint8 {
	out := make([][]uint8, n)
	for k := range out {
		out[k] = make([]uint8, size*size*channels)
		for i := range out[k] {
			out[k][i] = uint8(37*k + 11*i)
		}
	}
	return out
}

func decode(t *testing.T, b []byte) image.Image {
	t.Helper()
	m, err := png.Decode(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// Every pixel of every image is where the grid's layout says, and only there.
func TestGridPlacesEveryPixel(t *testing.T) {
	for _, v := range []struct{ n, size, channels, columns, zoom int }{
		{1, 8, 1, 1, 12},
		{2, 24, 1, 2, 4},
		{5, 28, 1, 3, 4},
		{16, 32, 3, 4, 3},
		{3, 100, 3, 2, 1},
		{4, 1, 3, 2, 96},
	} {
		t.Run(fmt.Sprintf("%d of %dx%dx%d", v.n, v.size, v.size, v.channels), func(t *testing.T) {
			in := images(v.n, v.size, v.channels)
			b, err := Grid(in, v.size, v.channels)
			if err != nil {
				t.Fatal(err)
			}
			got := decode(t, b)
			step := v.size*v.zoom + gutter
			rows := (v.n + v.columns - 1) / v.columns
			if want := image.Rect(0, 0, v.columns*step+gutter, rows*step+gutter); got.Bounds() != want {
				t.Fatalf("the grid is %v, want %v", got.Bounds(), want)
			}
			for y := range got.Bounds().Dy() {
				for x := range got.Bounds().Dx() {
					if g, w := rgb(got.At(x, y)), expected(in, v.size, v.channels, v.columns, v.zoom, x, y); g != w {
						t.Fatalf("pixel (%d, %d) is %v, want %v", x, y, g, w)
					}
				}
			}
		})
	}
}

// expected is the color of a grid's pixel, found from the pixel's side.
func expected(in [][]uint8, size, channels, columns, zoom, x, y int) [3]uint8 {
	white := [3]uint8{255, 255, 255}
	step := size*zoom + gutter
	if x < gutter || y < gutter {
		return white
	}
	column, row := (x-gutter)/step, (y-gutter)/step
	u, v := (x-gutter)%step/zoom, (y-gutter)%step/zoom
	k := row*columns + column
	if u >= size || v >= size || column >= columns || k >= len(in) {
		return white
	}
	p := in[k][(v*size+u)*channels:]
	if channels == 1 {
		return [3]uint8{p[0], p[0], p[0]}
	}
	return [3]uint8{p[0], p[1], p[2]}
}

func rgb(c color.Color) [3]uint8 {
	r, g, b, _ := c.RGBA()
	return [3]uint8{uint8(r >> 8), uint8(g >> 8), uint8(b >> 8)}
}

// The same images give the same file.
func TestGridIsDeterministic(t *testing.T) {
	a, err := Grid(images(7, 16, 3), 16, 3)
	if err != nil {
		t.Fatal(err)
	}
	if b, _ := Grid(images(7, 16, 3), 16, 3); !bytes.Equal(a, b) {
		t.Error("the same images give another file")
	}
}

func TestGridRefuses(t *testing.T) {
	short := images(3, 8, 1)
	short[1] = short[1][:63]
	for name, v := range map[string]struct {
		images         [][]uint8
		size, channels int
	}{
		"nothing":         {nil, 8, 1},
		"size 0":          {images(1, 0, 1), 0, 1},
		"two channels":    {images(1, 8, 2), 8, 2},
		"a short image":   {short, 8, 1},
		"another's bytes": {images(2, 8, 3), 8, 1},
	} {
		if _, err := Grid(v.images, v.size, v.channels); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
