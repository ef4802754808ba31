package dataset

import (
	"fmt"

	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/gobolditalic"
	"golang.org/x/image/font/gofont/goitalic"
	"golang.org/x/image/font/gofont/gomedium"
	"golang.org/x/image/font/gofont/gomediumitalic"
	"golang.org/x/image/font/gofont/gomono"
	"golang.org/x/image/font/gofont/gomonobold"
	"golang.org/x/image/font/gofont/gomonobolditalic"
	"golang.org/x/image/font/gofont/gomonoitalic"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/sfnt"
	"golang.org/x/image/math/fixed"
)

// face is one font's digits, and by how much its strokes may be drawn heavier than
// they are, in font units on each side: the light faces hardly thinner, so that
// they still show at 16 pixels, and the bold ones hardly heavier, so that an
// eight keeps its holes.
type face struct {
	name               string
	lightest, heaviest int64
	digits             [classes]outline
}

// loadFaces reads the digits of the Go fonts. The order is part of the generator.
// The small capitals are left out: their digits are those of the plain faces.
func loadFaces() ([]face, error) {
	faces := []face{
		{name: "regular", lightest: -5, heaviest: 50},
		{name: "medium", lightest: -20, heaviest: 40},
		{name: "bold", lightest: -45, heaviest: 20},
		{name: "italic", lightest: -5, heaviest: 50},
		{name: "medium italic", lightest: -20, heaviest: 40},
		{name: "bold italic", lightest: -45, heaviest: 20},
		{name: "mono", lightest: 10, heaviest: 70},
		{name: "mono italic", lightest: 10, heaviest: 70},
		{name: "mono bold", lightest: -45, heaviest: 20},
		{name: "mono bold italic", lightest: -45, heaviest: 20},
	}
	files := [...][]byte{
		goregular.TTF, gomedium.TTF, gobold.TTF,
		goitalic.TTF, gomediumitalic.TTF, gobolditalic.TTF,
		gomono.TTF, gomonoitalic.TTF, gomonobold.TTF, gomonobolditalic.TTF,
	}
	for k := range faces {
		if err := faces[k].load(files[k]); err != nil {
			return nil, fmt.Errorf("load the %s face of the Go fonts: %w", faces[k].name, err)
		}
	}
	return faces, nil
}

// load fills the digits from a TrueType file.
func (f *face) load(ttf []byte) error {
	font, err := sfnt.Parse(ttf)
	if err != nil {
		return err
	}
	// At this many pixels an em the coordinates are the file's own integers: nothing
	// is scaled or rounded.
	ppem := fixed.Int26_6(font.UnitsPerEm())
	for digit := range f.digits {
		index, err := font.GlyphIndex(nil, rune('0'+digit))
		if err != nil {
			return fmt.Errorf("find digit %d: %w", digit, err)
		}
		segments, err := font.LoadGlyph(nil, index, ppem, nil)
		if err != nil {
			return fmt.Errorf("load digit %d: %w", digit, err)
		}
		o, err := flatten(segments)
		if err == nil && digit == 0 {
			o, err = withoutSlash(o)
		}
		if err != nil {
			return fmt.Errorf("outline digit %d: %w", digit, err)
		}
		o.findNormals()
		f.digits[digit] = o
	}
	return nil
}
