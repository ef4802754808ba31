package dataset

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"sync"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/rng"
)

// glyphsVersion names the generator. Whatever changes a single byte of a single
// image (the faces, the draws, the arithmetic, an update of x/image that moves an
// outline) raises it, and the golden digests of the test are taken anew: a run
// that was started on the old pictures then refuses to resume on the new ones.
const glyphsVersion = 1

// classes are the digits 0 to 9.
const classes = 10

// glyphs draws digits. Example i is a function of (seed, size, channels, i); the
// same i under another size shows the same digit in the same pose.
type glyphs struct {
	params  glyphParams
	faces   []face
	scratch sync.Pool // of *scratch
}

// scratch is what drawing one image needs; it is used again.
type scratch struct {
	points []point
	raster raster
	mask   []uint8
}

func openGlyphs(uri, rest string, want Want) (Dataset, error) {
	p, err := parseGlyphs(rest, want)
	if err != nil {
		return nil, fmt.Errorf("dataset %s: %w", uri, err)
	}
	if err := want.check(uri, p.shape()); err != nil {
		return nil, fmt.Errorf("%w; size and channels that are left out follow the preset", err)
	}
	faces, err := loadFaces()
	if err != nil {
		return nil, fmt.Errorf("dataset %s: %w", uri, err)
	}
	g := &glyphs{params: p, faces: faces}
	g.scratch.New = func() any { return newScratch(int(p.size)) }
	return g, nil
}

func newScratch(size int) *scratch {
	return &scratch{raster: newRaster(size), mask: make([]uint8, size*size)}
}

func (g *glyphs) Len() int     { return int(g.params.n) }
func (g *glyphs) Shape() Shape { return g.params.shape() }
func (g *glyphs) URI() string  { return g.params.uri() }

func (g *glyphs) Digest() string {
	sum := sha256.Sum256(fmt.Appendf(nil, "glyphs version %d\n%s\n", glyphsVersion, g.URI()))
	return "sha256:" + hex.EncodeToString(sum[:])
}

func (g *glyphs) Label(i int) int {
	if i < 0 || i >= g.Len() {
		panic(fmt.Sprintf("dataset: label of example %d of %d", i, g.Len()))
	}
	d := drawExample(g.params.seed, i)
	return d.class()
}

func (g *glyphs) Example(i int, dst []uint8) error {
	if err := checkExample(g, i, dst); err != nil {
		return err
	}
	d := drawExample(g.params.seed, i)
	s := g.scratch.Get().(*scratch)
	defer g.scratch.Put(s)

	f := &g.faces[rng.Uint32n(d[drawFace], uint32(len(g.faces)))]
	digit := &f.digits[d.class()]
	s.points = d.pose(int(g.params.size), f).place(s.points, digit)
	if g.params.channels == 1 {
		s.raster.fill(dst, s.points, digit.ends)
		return nil
	}
	s.raster.fill(s.mask, s.points, digit.ends)
	paint(dst, s.mask, d.ink(), d.paper())
	return nil
}
