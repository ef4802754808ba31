package picture

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"
)

const (
	// minTile is the least width of an image in a grid, in pixels: smaller ones are
	// enlarged by a whole factor, each pixel to a square.
	minTile = 96
	// gutter separates images, in pixels.
	gutter = 2
)

// Grid draws square images, each size·size·channels bytes with rows first and
// channels last, as a PNG: rows of about as many images as there are rows.
// channels is 1 (grey) or 3 (red, green, blue).
func Grid(images [][]uint8, size, channels int) ([]byte, error) {
	if len(images) == 0 || size < 1 || channels != 1 && channels != 3 {
		return nil, fmt.Errorf("draw a grid: %d images of size %d with %d channels", len(images), size, channels)
	}
	columns := int(math.Ceil(math.Sqrt(float64(len(images)))))
	rows := (len(images) + columns - 1) / columns
	zoom := (minTile + size - 1) / size
	tile := size * zoom
	step := tile + gutter
	canvas := image.NewNRGBA(image.Rect(0, 0, columns*step+gutter, rows*step+gutter))
	for i := range canvas.Pix {
		canvas.Pix[i] = 0xff
	}
	for k, pixels := range images {
		if len(pixels) != size*size*channels {
			return nil, fmt.Errorf("draw a grid: image %d has %d bytes, not %d·%d·%d", k, len(pixels), size, size, channels)
		}
		x0, y0 := gutter+k%columns*step, gutter+k/columns*step
		for y := range tile {
			for x := range tile {
				canvas.SetNRGBA(x0+x, y0+y, pixel(pixels, (y/zoom*size+x/zoom)*channels, channels))
			}
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, canvas); err != nil {
		return nil, fmt.Errorf("draw a grid: %w", err)
	}
	return b.Bytes(), nil
}

func pixel(p []uint8, at, channels int) color.NRGBA {
	if channels == 1 {
		return color.NRGBA{p[at], p[at], p[at], 0xff}
	}
	return color.NRGBA{p[at], p[at+1], p[at+2], 0xff}
}
