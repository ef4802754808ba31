package dataset

import (
	"fmt"
	"maps"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/agext/levenshtein"
)

// DefaultGlyphs is how many digits glyphs:// has where nobody says.
const DefaultGlyphs = 60000

const (
	minGlyphSize = 8
	maxGlyphSize = 256
	maxGlyphs    = min(1<<31, math.MaxInt)
	glyphsForm   = "glyphs://?size=32&channels=3&n=60000&seed=1"
)

// glyphKeys lists the parameters of glyphs://, in canonical order.
func glyphKeys() []string { return []string{"size", "channels", "n", "seed"} }

// glyphParams are the parameters, each explicit.
type glyphParams struct{ size, channels, n, seed uint64 }

// field returns where a parameter is kept; nil if there is no such parameter.
func (p *glyphParams) field(key string) *uint64 {
	switch key {
	case "size":
		return &p.size
	case "channels":
		return &p.channels
	case "n":
		return &p.n
	case "seed":
		return &p.seed
	}
	return nil
}

func (p glyphParams) shape() Shape {
	return Shape{Height: int(p.size), Width: int(p.size), Channels: int(p.channels)}
}

func (p glyphParams) uri() string {
	return fmt.Sprintf("glyphs://?size=%d&channels=%d&n=%d&seed=%d", p.size, p.channels, p.n, p.seed)
}

// parseGlyphs reads what follows glyphs://; want fills what is left out.
func parseGlyphs(rest string, want Want) (glyphParams, error) {
	p := glyphParams{size: uint64(want.Size), channels: uint64(want.Channels), n: uint64(want.FallbackN), seed: 1}
	if p.n == 0 {
		p.n = DefaultGlyphs
	}
	query, ok := strings.CutPrefix(rest, "?")
	if !ok && rest != "" {
		return p, fmt.Errorf("%q stands where only parameters may; write %s", rest, glyphsForm)
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return p, fmt.Errorf("%w; write %s", err, glyphsForm)
	}
	for _, key := range slices.Sorted(maps.Keys(values)) {
		if err := p.set(key, values[key]); err != nil {
			return p, err
		}
	}
	return p, p.validate()
}

// set reads one parameter.
func (p *glyphParams) set(key string, values []string) error {
	field := p.field(key)
	if field == nil {
		return fmt.Errorf("there is no parameter %q; did you mean %q? (there are %s)",
			key, nearest(key, glyphKeys()), strings.Join(glyphKeys(), ", "))
	}
	if len(values) != 1 {
		return fmt.Errorf("parameter %s is given %d times; give it once", key, len(values))
	}
	v, err := strconv.ParseUint(values[0], 10, 64)
	if err != nil {
		return fmt.Errorf("%s=%s is not a whole number from 0 to 2^64-1", key, values[0])
	}
	*field = v
	return nil
}

func (p glyphParams) validate() error {
	switch {
	case p.size < minGlyphSize || p.size > maxGlyphSize:
		return fmt.Errorf("size=%d is out of range; it must be %d to %d pixels", p.size, minGlyphSize, maxGlyphSize)
	case p.channels != 1 && p.channels != 3:
		return fmt.Errorf("channels=%d is out of range; it must be 1 (white on black) or 3 (coloured)", p.channels)
	case p.n < 1 || p.n > maxGlyphs:
		return fmt.Errorf("n=%d is out of range; it must be 1 to %d", p.n, maxGlyphs)
	}
	return nil
}

// nearest returns the candidate with the smallest edit distance to s.
func nearest(s string, candidates []string) string {
	return slices.MinFunc(candidates, func(a, b string) int {
		return levenshtein.Distance(s, a, nil) - levenshtein.Distance(s, b, nil)
	})
}
