package dataset

import (
	"fmt"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/dataset/packed"
)

// memory is a dataset that was read from files.
type memory struct {
	uri    string
	shape  Shape
	n      int
	pixels []uint8 // n·shape.Bytes(), example after example
	digest string
}

// labeled is a memory whose files have labels.
type labeled struct {
	memory
	labels []uint8
}

// newMemory takes the pixels; labels may be nil. The digest is that of the packed
// form, of the shape, the count and the pixels: labels take no part in training.
func newMemory(uri string, shape Shape, pixels, labels []uint8) Dataset {
	m := memory{
		uri: uri, shape: shape, n: len(pixels) / shape.Bytes(), pixels: pixels,
		digest: packed.Digest(shape, pixels),
	}
	if labels == nil {
		return &m
	}
	return &labeled{memory: m, labels: labels}
}

func (m *memory) Len() int       { return m.n }
func (m *memory) Shape() Shape   { return m.shape }
func (m *memory) Digest() string { return m.digest }
func (m *memory) URI() string    { return m.uri }

func (m *memory) Example(i int, dst []uint8) error {
	if err := checkExample(m, i, dst); err != nil {
		return err
	}
	copy(dst, m.pixels[i*len(dst):])
	return nil
}

func (l *labeled) Label(i int) int { return int(l.labels[i]) }

// indexError says that there is no example i.
func indexError(uri string, i, n int) error {
	return fmt.Errorf("dataset %s: there is no example %d; it has 0 to %d", uri, i, n-1)
}

// checkExample checks the arguments of Example.
func checkExample(d Dataset, i int, dst []uint8) error {
	if i < 0 || i >= d.Len() {
		return indexError(d.URI(), i, d.Len())
	}
	if want := d.Shape().Bytes(); len(dst) != want {
		return fmt.Errorf("dataset %s: an example of %v takes %d bytes, %d are given", d.URI(), d.Shape(), want, len(dst))
	}
	return nil
}
