package dataset

import "github.com/ddpm-cluster/ddpm-cluster/ddpm/rng"

// What the words of an example are for. The order is part of the generator:
// append, and raise glyphsVersion where an old one changes its meaning.
const (
	drawClass = iota
	drawFace
	drawHeight
	drawWidth
	drawTurn
	drawShear
	drawWeight
	drawShiftX
	drawShiftY
	drawInkHue
	drawInkPale
	drawInkValue
	drawPaperHue
	drawPaperPale
	drawPaperValue
	drawCount
)

// draws are the random words of one example.
type draws [(drawCount + 3) / 4 * 4]uint32

// drawExample counts out the words of example i: word k is word k%4 of Philox
// block k/4 under the seed.
func drawExample(seed uint64, i int) draws {
	var d draws
	for block := range len(d) / 4 {
		w := rng.Philox4x32(seed, rng.Counter(rng.GlyphChoice, 0, uint32(i), uint32(block)))
		copy(d[4*block:], w[:])
	}
	return d
}

func (d *draws) class() int { return int(rng.Uint32n(d[drawClass], classes)) }

// between maps word k to an integer of [lo, hi], each equally likely.
func (d *draws) between(k int, lo, hi int64) int64 {
	return lo + int64(rng.Uint32n(d[k], uint32(hi-lo+1)))
}
