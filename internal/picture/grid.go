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

// Layout says how images are put on one canvas.
type Layout struct {
	// Columns counts the images of a row; 0 is as many as rows, about.
	Columns int
	// Zoom is how many pixels a pixel becomes, in each direction; 0 chooses so that
	// small images can be seen.
	Zoom int
	// Gutter puts white lines round the images.
	Gutter bool
}

// CheckChannels reports whether pictures can be drawn of images with so many channels.
func CheckChannels(channels int) error {
	if channels != 1 && channels != 3 {
		return fmt.Errorf("images of %d channels: pictures have 1 (grey) or 3 (red, green, blue)", channels)
	}
	return nil
}

// Grid draws square images, each size·size·channels bytes with rows first and
// channels last, as a PNG: rows of about as many images as there are rows.
// channels is 1 (grey) or 3 (red, green, blue).
func Grid(images [][]uint8, size, channels int) ([]byte, error) {
	return Layout{Gutter: true}.PNG(images, size, channels)
}

// PNG draws images, as Grid takes them, in the layout.
func (l Layout) PNG(images [][]uint8, size, channels int) ([]byte, error) {
	canvas, err := l.canvas(images, size, channels)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := png.Encode(&b, canvas); err != nil {
		return nil, fmt.Errorf("draw a grid: %w", err)
	}
	return b.Bytes(), nil
}

// canvas draws in grey where the images are grey.
func (l Layout) canvas(images [][]uint8, size, channels int) (image.Image, error) {
	if err := CheckChannels(channels); err != nil {
		return nil, fmt.Errorf("draw a grid: %w", err)
	}
	if len(images) == 0 || size < 1 {
		return nil, fmt.Errorf("draw a grid: %d images of size %d", len(images), size)
	}
	columns, zoom, line := l.Columns, l.Zoom, 0
	if columns == 0 {
		columns = int(math.Ceil(math.Sqrt(float64(len(images)))))
	}
	if zoom == 0 {
		zoom = (minTile + size - 1) / size
	}
	if l.Gutter {
		line = gutter
	}
	rows := (len(images) + columns - 1) / columns
	tile := size * zoom
	step := tile + line
	bounds := image.Rect(0, 0, columns*step+line, rows*step+line)
	grey, colour := image.NewGray(bounds), image.NewNRGBA(image.Rectangle{})
	pix := grey.Pix
	if channels == 3 {
		colour = image.NewNRGBA(bounds)
		pix = colour.Pix
	}
	for i := range pix {
		pix[i] = 0xff
	}
	for k, pixels := range images {
		if len(pixels) != size*size*channels {
			return nil, fmt.Errorf("draw a grid: image %d has %d bytes, not %d·%d·%d", k, len(pixels), size, size, channels)
		}
		x0, y0 := line+k%columns*step, line+k/columns*step
		for y := range tile {
			for x := range tile {
				at := (y/zoom*size + x/zoom) * channels
				if channels == 1 {
					grey.Pix[(y0+y)*grey.Stride+x0+x] = pixels[at]
				} else {
					colour.SetNRGBA(x0+x, y0+y, color.NRGBA{pixels[at], pixels[at+1], pixels[at+2], 0xff})
				}
			}
		}
	}
	if channels == 1 {
		return grey, nil
	}
	return colour, nil
}
