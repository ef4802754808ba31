package resize

import (
	"fmt"
	"math"
	"strings"
)

// Image has rows from the top and channels last, a byte each.
type Image struct {
	Width, Height, Channels int
	Pixels                  []byte // Width·Height·Channels
}

// The rules.
const (
	BoxBicubic = "box-bicubic"
	Bicubic    = "bicubic"
	Box        = "box"
	None       = "none"
)

// Rules lists the rules, the default first.
func Rules() []string { return []string{BoxBicubic, Bicubic, Box, None} }

// Check says whether there is such a rule.
func Check(rule string) error {
	for _, r := range Rules() {
		if r == rule {
			return nil
		}
	}
	return fmt.Errorf("there is no resize rule %q; there are %s", rule, strings.Join(Rules(), ", "))
}

// Square brings an image to size x size by the rule. The result may share memory with
// the image. It fails where the rule is none and the image has another size, and where
// one side is so much longer than the other that the resized image can't be measured.
func Square(img Image, size int, rule string) (Image, error) {
	if img.Width == size && img.Height == size {
		return img, nil
	}
	switch rule {
	case BoxBicubic:
		for min(img.Width, img.Height) >= 2*size {
			img = halve(img)
		}
		return fit(img, size, cubicFilter)
	case Bicubic:
		return fit(img, size, cubicFilter)
	case Box:
		return fit(img, size, boxFilter)
	}
	return Image{}, fmt.Errorf("it is %dx%d, not %dx%d, and the rule is %s", img.Width, img.Height, size, size, rule)
}

// halve takes the means of 2x2 boxes, slightly larger ones where a side is odd.
func halve(img Image) Image {
	if img.Width%2 != 0 || img.Height%2 != 0 {
		across, down := cut(boxFilter, img.Width, img.Width/2, img.Width/2), cut(boxFilter, img.Height, img.Height/2, img.Height/2)
		return vertical(horizontal(img, across), down)
	}
	out := Image{Width: img.Width / 2, Height: img.Height / 2, Channels: img.Channels}
	out.Pixels = make([]byte, out.Width*out.Height*out.Channels)
	row := img.Width * img.Channels
	at := 0
	for y := range out.Height {
		for x := range out.Width {
			p := 2*y*row + 2*x*img.Channels
			for c := range img.Channels {
				q := img.Pixels[p+c:]
				sum := int(q[0]) + int(q[img.Channels]) + int(q[row]) + int(q[row+img.Channels])
				out.Pixels[at] = byte((sum + 2) / 4)
				at++
			}
		}
	}
	return out
}

// scaled is the length of a side that goes with a shorter side that becomes size.
func scaled(side, shorter, size int) int { return max(size, (2*side*size+shorter)/(2*shorter)) }

// maxArea bounds the product of a side and of what it becomes: tapsOf computes with
// twice as much.
const maxArea = math.MaxInt64 / 2

// fit resizes by a filter and cuts out the centre: only what is left is computed.
func fit(img Image, size int, filter filter) (Image, error) {
	shorter, longer := min(img.Width, img.Height), max(img.Width, img.Height)
	if long := scaled(longer, shorter, size); long > maxArea/longer {
		return Image{}, fmt.Errorf("it is %dx%d: its longer side would become %d pixels, too many to compute with", img.Width, img.Height, long)
	}
	across := cut(filter, img.Width, scaled(img.Width, shorter, size), size)
	down := cut(filter, img.Height, scaled(img.Height, shorter, size), size)
	img, down = rows(img, down)
	return vertical(horizontal(img, across), down), nil
}

// rows leaves of an image the rows that the taps need: of a narrow and long one that
// is enlarged, all of them at the new width could be thousands of times the image.
func rows(img Image, list []taps) (Image, []taps) {
	first, last := list[0].first, list[len(list)-1]
	end := last.first + len(last.weights)
	row := img.Width * img.Channels
	img.Height, img.Pixels = end-first, img.Pixels[first*row:end*row]
	shifted := make([]taps, len(list))
	for o, t := range list {
		shifted[o] = taps{t.first - first, t.weights}
	}
	return img, shifted
}

// cut gives the taps of the size pixels in the middle of n.
func cut(filter filter, m, n, size int) []taps {
	list := make([]taps, size)
	for o := range list {
		list[o] = tapsOf(filter, m, n, o+(n-size)/2)
	}
	return list
}

func horizontal(img Image, list []taps) Image {
	out := Image{Width: len(list), Height: img.Height, Channels: img.Channels}
	out.Pixels = make([]byte, out.Width*out.Height*out.Channels)
	at := 0
	for y := range img.Height {
		row := img.Pixels[y*img.Width*img.Channels:]
		for _, t := range list {
			for c := range img.Channels {
				out.Pixels[at] = t.mix(row[t.first*img.Channels+c:], img.Channels)
				at++
			}
		}
	}
	return out
}

func vertical(img Image, list []taps) Image {
	row := img.Width * img.Channels
	out := Image{Width: img.Width, Height: len(list), Channels: img.Channels, Pixels: make([]byte, row*len(list))}
	for y, t := range list {
		for x := range row {
			out.Pixels[y*row+x] = t.mix(img.Pixels[t.first*row+x:], row)
		}
	}
	return out
}
