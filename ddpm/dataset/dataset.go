package dataset

import (
	"fmt"
	"strings"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/dataset/packed"
)

// Dataset is a fixed, numbered set of images of one shape.
type Dataset interface {
	// Len counts the examples; it is positive.
	Len() int
	// Shape is the same for every example.
	Shape() Shape
	// Example writes example i, 0 <= i < Len(), to dst: rows from the top, channels
	// last, one byte each; len(dst) must be Shape().Bytes(). What it writes depends
	// on the dataset and i alone. It may be called from several goroutines.
	Example(i int, dst []uint8) error
	// Digest names the content, as "sha256:" and 64 hex digits: equal digests mean
	// equal examples in equal order, wherever the dataset lies.
	Digest() string
	// URI is what Open was given, resolved: paths are absolute and every parameter
	// is explicit. Open finds the same dataset under it again.
	URI() string
}

// Labeled is a Dataset that knows the class of each example.
type Labeled interface {
	Dataset
	// Label is the class of example i, 0 <= i < Len(). It panics outside, as an
	// index does.
	Label(i int) int
}

// Shape is the size of an image: rows, columns, channels.
type Shape = packed.Shape

// Want is what a model takes. It fills what a URI leaves out, and what a dataset
// has must agree with it.
type Want struct {
	// Size is the height and width in pixels; Channels is 1 or 3.
	Size, Channels int
	// Labels says that the model has classes: the dataset should be Labeled, if it can.
	Labels bool
	// FallbackN counts the examples of glyphs:// where the URI doesn't; 0 means
	// DefaultGlyphs.
	FallbackN int
	// Fits names the presets whose models take a shape, for the error that says
	// that the dataset has another one. nil names none.
	Fits func(Shape) []string
}

func (w Want) shape() Shape { return Shape{Height: w.Size, Width: w.Size, Channels: w.Channels} }

// check returns a ShapeError unless have is what is wanted.
func (w Want) check(name string, have Shape) error {
	if have == w.shape() {
		return nil
	}
	e := &ShapeError{Dataset: name, Have: have, Want: w.shape()}
	if w.Fits != nil {
		e.Presets = w.Fits(have)
	}
	return e
}

// ShapeError says that a dataset's images are not what the model takes.
type ShapeError struct {
	// Dataset is the file or the URI that has the shape.
	Dataset string
	Have    Shape
	Want    Shape
	// Presets take the shape that the dataset has.
	Presets []string
}

func (e *ShapeError) Error() string {
	fix := "give a dataset of that shape or another preset"
	if len(e.Presets) > 0 {
		fix = "use --preset " + strings.Join(e.Presets, " or --preset ") + ", or give another dataset"
	}
	return fmt.Sprintf("dataset %s: its images are %v, the model takes %v; %s", e.Dataset, e.Have, e.Want, fix)
}
