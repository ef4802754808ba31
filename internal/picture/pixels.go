package picture

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/png"
)

// maxSide bounds the pictures that are read, in pixels.
const maxSide = 4096

// Pixels reads back a PNG of one image that was drawn without zoom and gutter: its
// size·size·channels bytes, as Grid takes them.
func Pixels(text []byte, size, channels int) ([]uint8, error) {
	config, err := png.DecodeConfig(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("read a picture: %w", err)
	}
	if config.Width != size || config.Height != size {
		return nil, fmt.Errorf("read a picture: it has %d x %d pixels, not %d x %d", config.Width, config.Height, size, size)
	}
	pixels, _, found, err := Read(text)
	if err == nil && found != channels {
		err = fmt.Errorf("read a picture: it does not have %d channels", channels)
	}
	if err != nil {
		return nil, err
	}
	return pixels, nil
}

// Read is Pixels where size and channels are not known.
func Read(text []byte) (pixels []uint8, size, channels int, err error) {
	config, err := png.DecodeConfig(bytes.NewReader(text))
	if err != nil {
		return nil, 0, 0, fmt.Errorf("read a picture: %w", err)
	}
	if size = config.Width; size != config.Height || size > maxSide {
		return nil, 0, 0, fmt.Errorf("read a picture: it has %d x %d pixels; it must be a square of at most %d", size, config.Height, maxSide)
	}
	picture, err := png.Decode(bytes.NewReader(text))
	if err != nil {
		return nil, 0, 0, fmt.Errorf("read a picture: %w", err)
	}
	channels = 3
	if _, grey := picture.(*image.Gray); grey {
		channels = 1
	}
	pixels = make([]uint8, 0, size*size*channels)
	for y := range size {
		for x := range size {
			c := color.NRGBAModel.Convert(picture.At(x, y)).(color.NRGBA)
			pixels = append(pixels, []uint8{c.R, c.G, c.B}[:channels]...)
		}
	}
	return pixels, size, channels, nil
}
