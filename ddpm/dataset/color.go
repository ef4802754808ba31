package dataset

// rgb is a colour, 0 to 255 each.
type rgb [3]int64

// The colours' ranges; their values are part of the generator. Ink is at least
// inkLuma bright and paper is dark, so that every digit stands out.
const (
	inkValueMin, inkValueMax     = 215, 255
	inkPaleMin, inkPaleMax       = 40, 230
	inkLuma                      = 150
	paperValueMin, paperValueMax = 8, 60
	paperPaleMin, paperPaleMax   = 40, 255
)

// hues is how many steps the colour circle has: six sides of 256.
const hues = 6 * 256

// hue returns the colour on the circle with its largest channel at value and its
// smallest at value·pale/255.
func hue(at, value, pale int64) rgb {
	side, along := at/256, at%256
	low := value * pale / 255
	rise, fall := low+(value-low)*along/255, value-(value-low)*along/255
	switch side {
	case 0:
		return rgb{value, rise, low}
	case 1:
		return rgb{fall, value, low}
	case 2:
		return rgb{low, value, rise}
	case 3:
		return rgb{low, fall, value}
	case 4:
		return rgb{rise, low, value}
	default:
		return rgb{value, low, fall}
	}
}

// luma is how bright a colour looks, 0 to 255 (ITU-R BT.601's weights).
func (c rgb) luma() int64 { return (77*c[0] + 150*c[1] + 29*c[2]) / 256 }

// lift mixes white in until the colour is about as bright as wanted.
func (c rgb) lift(wanted int64) rgb {
	dark := c.luma()
	if dark >= wanted {
		return c
	}
	for k, v := range c {
		c[k] = v + (255-v)*(wanted-dark)/(255-dark)
	}
	return c
}

func (d *draws) ink() rgb {
	return hue(d.between(drawInkHue, 0, hues-1),
		d.between(drawInkValue, inkValueMin, inkValueMax),
		d.between(drawInkPale, inkPaleMin, inkPaleMax)).lift(inkLuma)
}

func (d *draws) paper() rgb {
	return hue(d.between(drawPaperHue, 0, hues-1),
		d.between(drawPaperValue, paperValueMin, paperValueMax),
		d.between(drawPaperPale, paperPaleMin, paperPaleMax))
}

// paint writes the mask in colour: len(dst) is three times len(mask).
func paint(dst, mask []uint8, ink, paper rgb) {
	for k, m := range mask {
		cover := int64(m)
		for c := range 3 {
			dst[3*k+c] = uint8((paper[c]*(255-cover) + ink[c]*cover + 127) / 255)
		}
	}
}
