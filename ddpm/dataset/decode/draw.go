package decode

import (
	"image"
	"image/color"
)

// draw writes the image over white, as red, green and blue. studio says that YCbCr is
// BT.601's, whose black is 16 and whose white is 235.
func draw(dst []byte, img image.Image, bounds image.Rectangle, studio bool) {
	at := pixel(img, studio)
	k := 0
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			r, g, b := uint8(255), uint8(255), uint8(255)
			if image.Pt(x, y).In(img.Bounds()) {
				r, g, b = at(x, y)
			}
			dst[k], dst[k+1], dst[k+2] = r, g, b
			k += 3
		}
	}
}

// pixel gives the function that reads a pixel over white, by the image's type.
func pixel(img image.Image, studio bool) func(x, y int) (r, g, b uint8) {
	switch m := img.(type) {
	case *image.YCbCr:
		return func(x, y int) (r, g, b uint8) { return yCbCr(m, x, y, studio) }
	case *image.NYCbCrA:
		return func(x, y int) (r, g, b uint8) {
			r, g, b = yCbCr(&m.YCbCr, x, y, studio)
			return overWhite(r, g, b, m.A[m.AOffset(x, y)])
		}
	case *image.Gray:
		return func(x, y int) (r, g, b uint8) {
			v := m.Pix[m.PixOffset(x, y)]
			return v, v, v
		}
	case *image.NRGBA:
		return func(x, y int) (r, g, b uint8) {
			p := m.Pix[m.PixOffset(x, y):]
			return overWhite(p[0], p[1], p[2], p[3])
		}
	}
	return func(x, y int) (r, g, b uint8) {
		red, green, blue, alpha := img.At(x, y).RGBA() // 16 bits, premultiplied
		white := 0xffff - alpha
		return uint8((red + white) >> 8), uint8((green + white) >> 8), uint8((blue + white) >> 8)
	}
}

func yCbCr(m *image.YCbCr, x, y int, studio bool) (r, g, b uint8) {
	c := m.COffset(x, y)
	luma, cb, cr := m.Y[m.YOffset(x, y)], m.Cb[c], m.Cr[c]
	if !studio {
		return color.YCbCrToRGB(luma, cb, cr)
	}
	// BT.601: 255/219 and 255/224 times the matrix, in units of 2^-14.
	Y, B, R := 19077*(int(luma)-16)+1<<13, int(cb)-128, int(cr)-128
	return clamp((Y + 26149*R) >> 14), clamp((Y - 6419*B - 13320*R) >> 14), clamp((Y + 33050*B) >> 14)
}

func clamp(v int) uint8 { return uint8(max(0, min(255, v))) }

func overWhite(r, g, b, a uint8) (uint8, uint8, uint8) {
	if a == 255 {
		return r, g, b
	}
	mix := func(v uint8) uint8 { return uint8((int(v)*int(a) + 255*(255-int(a)) + 127) / 255) }
	return mix(r), mix(g), mix(b)
}
