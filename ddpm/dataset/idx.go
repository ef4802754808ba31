package dataset

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
)

// The IDX format (LeCun, Cortes, Burges, "The MNIST database"): a big-endian magic
// number of two zero bytes, the element type (08: unsigned byte) and the number
// of dimensions; each dimension as a big-endian uint32; the elements, last
// dimension fastest.
const (
	idxImages = 0x00000803 // images, rows, columns
	idxLabels = 0x00000801 // labels
)

// idxKind says what a magic number stands for; "" if it is none of ours.
func idxKind(magic uint32) string {
	switch magic {
	case idxImages:
		return "an IDX file of images"
	case idxLabels:
		return "an IDX file of labels"
	}
	return ""
}

// readImages reads an IDX file of images. accept looks at the shape before the
// pixels are read.
func readImages(s *source, accept func(Shape) error) (Shape, []uint8, error) {
	dims, err := idxHeader(s, idxImages, 3)
	if err != nil {
		return Shape{}, nil, err
	}
	n, shape := dims[0], Shape{Height: int(dims[1]), Width: int(dims[2]), Channels: 1}
	each := uint64(dims[1]) * uint64(dims[2])
	what := fmt.Sprintf("%d images of %d bytes (%dx%d)", n, each, dims[1], dims[2])
	if n == 0 || each == 0 {
		return Shape{}, nil, s.fault("at least one image of at least one pixel", what, fixDownload)
	}
	if err := accept(shape); err != nil {
		return Shape{}, nil, err
	}
	pixels, err := idxElements(s, uint64(n), each, what)
	return shape, pixels, err
}

// readLabels reads an IDX file of labels.
func readLabels(s *source) ([]uint8, error) {
	dims, err := idxHeader(s, idxLabels, 1)
	if err != nil {
		return nil, err
	}
	return idxElements(s, uint64(dims[0]), 1, fmt.Sprintf("%d labels", dims[0]))
}

// idxHeader reads the magic number and so many dimensions.
func idxHeader(s *source, magic uint32, count int) ([]uint32, error) {
	var b [4]byte
	if err := s.read(b[:], "an IDX magic number"); err != nil {
		return nil, err
	}
	if found := binary.BigEndian.Uint32(b[:]); found != magic {
		s.offset = 0
		return nil, s.fault(magicName(magic), magicName(found), "give "+idxKind(magic)+", as MNIST has them")
	}
	dims := make([]uint32, count)
	for k := range dims {
		if err := s.read(b[:], "the dimensions of the IDX header"); err != nil {
			return nil, err
		}
		dims[k] = binary.BigEndian.Uint32(b[:])
	}
	return dims, nil
}

func magicName(magic uint32) string {
	if kind := idxKind(magic); kind != "" {
		return fmt.Sprintf("magic 0x%08x (%s)", magic, kind)
	}
	return fmt.Sprintf("magic 0x%08x", magic)
}

// idxElements reads what a header promised, n elements of so many bytes each, and
// then the end. A promise that the file is too small to hold is refused before
// anything is allocated; for gzip, whose real size is not known, memory grows
// with what has been unpacked.
func idxElements(s *source, n, each uint64, what string) ([]uint8, error) {
	room := uint64(min(s.limit-s.offset, math.MaxInt))
	if each > room || n > room/each {
		found := fmt.Sprintf("%d bytes", room)
		if s.packed {
			found = fmt.Sprintf("a gzip file that can hold %d bytes at most", room)
		}
		return nil, s.fault(what+" after the header that says so", found, fixDownload)
	}
	total := int(n * each)
	first := total
	if s.packed {
		first = min(total, readPiece)
	}
	elements := make([]uint8, 0, first)
	for len(elements) < total {
		have := len(elements)
		more := min(total-have, max(first, have))
		elements = slices.Grow(elements, more)[:have+more]
		if err := s.read(elements[have:], what); err != nil {
			return nil, err
		}
	}
	return elements, s.end(what)
}
