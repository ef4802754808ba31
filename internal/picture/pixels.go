package picture

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/png"
)

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
	picture, err := png.Decode(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("read a picture: %w", err)
	}
	pixels := make([]uint8, 0, size*size*channels)
	_, grey := picture.(*image.Gray)
	if grey != (channels == 1) {
		return nil, fmt.Errorf("read a picture: it does not have %d channels", channels)
	}
	for y := range size {
		for x := range size {
			c := color.NRGBAModel.Convert(picture.At(x, y)).(color.NRGBA)
			pixels = append(pixels, []uint8{c.R, c.G, c.B}[:channels]...)
		}
	}
	return pixels, nil
}
