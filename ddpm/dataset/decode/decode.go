package decode

import (
	"bytes"
	"fmt"
	"image"
	"image/gif"
	"image/jpeg"
	"image/png"
	"path"
	"slices"
	"strings"

	"golang.org/x/image/bmp"
	"golang.org/x/image/webp"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/dataset/resize"
)

// maxPixels bounds an image: 64 million.
const maxPixels = 1 << 26

// IsImage says whether a file's name is one of an image.
func IsImage(name string) bool {
	extensions := []string{".jpg", ".jpeg", ".png", ".gif", ".webp", ".bmp"}
	return slices.Contains(extensions, strings.ToLower(path.Ext(name)))
}

// format is a file format.
type format struct {
	name   string
	config func([]byte) (image.Config, error)
	decode func([]byte) (image.Image, error)
}

// sniff tells the format by how a file begins.
func sniff(file []byte) (format, error) {
	begins := func(s string) bool { return bytes.HasPrefix(file, []byte(s)) }
	switch {
	case begins("\xff\xd8"):
		return format{
			"JPEG",
			func(b []byte) (image.Config, error) { return jpeg.DecodeConfig(bytes.NewReader(b)) },
			func(b []byte) (image.Image, error) { return jpeg.Decode(bytes.NewReader(b)) },
		}, nil
	case begins("\x89PNG"):
		return format{
			"PNG",
			func(b []byte) (image.Config, error) { return png.DecodeConfig(bytes.NewReader(b)) },
			func(b []byte) (image.Image, error) { return png.Decode(bytes.NewReader(b)) },
		}, nil
	case begins("GIF8"):
		return format{
			"GIF",
			func(b []byte) (image.Config, error) { return gif.DecodeConfig(bytes.NewReader(b)) },
			func(b []byte) (image.Image, error) { return gif.Decode(bytes.NewReader(b)) },
		}, nil
	case begins("RIFF") && len(file) >= 12 && string(file[8:12]) == "WEBP":
		return format{
			"WebP",
			func(b []byte) (image.Config, error) { return webp.DecodeConfig(bytes.NewReader(b)) },
			func(b []byte) (image.Image, error) { return webp.Decode(bytes.NewReader(b)) },
		}, nil
	case begins("BM"):
		return format{
			"BMP",
			func(b []byte) (image.Config, error) { return bmp.DecodeConfig(bytes.NewReader(b)) },
			func(b []byte) (image.Image, error) { return bmp.Decode(bytes.NewReader(b)) },
		}, nil
	}
	return format{}, fmt.Errorf("it begins with %q, as no JPEG, PNG, GIF, WebP or BMP does", file[:min(8, len(file))])
}

// Decode decodes an image file to 1 or 3 channels. The size that the file says it has is
// checked before memory is taken for it.
func Decode(file []byte, channels int) (resize.Image, error) {
	f, err := sniff(file)
	if err != nil {
		return resize.Image{}, err
	}
	config, err := f.config(file)
	if err != nil {
		return resize.Image{}, fmt.Errorf("damaged %s: %w", f.name, err)
	}
	if config.Width < 1 || config.Height < 1 || config.Width > maxPixels/config.Height {
		return resize.Image{}, fmt.Errorf("%s of %dx%d pixels; 1 to %d are read", f.name, config.Width, config.Height, maxPixels)
	}
	img, err := f.decode(file)
	if err != nil {
		return resize.Image{}, fmt.Errorf("damaged %s: %w", f.name, err)
	}
	bounds := img.Bounds()
	if f.name == "GIF" { // a frame may fill only a part of the picture
		bounds = image.Rect(0, 0, config.Width, config.Height)
	}
	out := resize.Image{Width: bounds.Dx(), Height: bounds.Dy(), Channels: 3}
	out.Pixels = make([]byte, out.Width*out.Height*3)
	draw(out.Pixels, img, bounds, f.name == "WebP")
	return Channels(out, channels), nil
}

// Channels gives the image 1 or 3 channels.
func Channels(img resize.Image, channels int) resize.Image {
	if img.Channels == channels {
		return img
	}
	n := img.Width * img.Height
	out := resize.Image{Width: img.Width, Height: img.Height, Channels: channels, Pixels: make([]byte, n*channels)}
	for i := range n {
		if channels == 3 {
			v := img.Pixels[i]
			out.Pixels[3*i], out.Pixels[3*i+1], out.Pixels[3*i+2] = v, v, v
			continue
		}
		p := img.Pixels[3*i:]
		out.Pixels[i] = byte((299*int(p[0]) + 587*int(p[1]) + 114*int(p[2]) + 500) / 1000)
	}
	return out
}
