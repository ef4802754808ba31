package raw

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/dataset/packed"
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

// imagesHeader reads the header of an IDX file of images. A promise that the file is
// too small to hold is refused.
func imagesHeader(s *Input) (n uint32, shape packed.Shape, what string, err error) {
	dims, err := idxHeader(s, idxImages, 3)
	if err != nil {
		return 0, packed.Shape{}, "", err
	}
	n, shape = dims[0], packed.Shape{Height: int(dims[1]), Width: int(dims[2]), Channels: 1}
	each := uint64(dims[1]) * uint64(dims[2])
	what = fmt.Sprintf("%d images of %d bytes (%dx%d)", n, each, dims[1], dims[2])
	if n == 0 || each == 0 {
		return 0, packed.Shape{}, "", s.fault("at least one image of at least one pixel", what, FixDownload)
	}
	return n, shape, what, nil
}

// ReadImages reads an IDX file of images. accept looks at the shape before the
// pixels are read.
func ReadImages(s *Input, accept func(packed.Shape) error) (packed.Shape, []uint8, error) {
	n, shape, what, err := imagesHeader(s)
	if err != nil {
		return packed.Shape{}, nil, err
	}
	if err := accept(shape); err != nil {
		return packed.Shape{}, nil, err
	}
	pixels, err := idxElements(s, uint64(n), uint64(shape.Height)*uint64(shape.Width), what)
	return shape, pixels, err
}

// ReadLabels reads an IDX file of labels.
func ReadLabels(s *Input) ([]uint8, error) {
	dims, err := idxHeader(s, idxLabels, 1)
	if err != nil {
		return nil, err
	}
	return idxElements(s, uint64(dims[0]), 1, fmt.Sprintf("%d labels", dims[0]))
}

// PairLabels makes sure that a labels file has as many as there are images.
func PairLabels(labels *Input, have int, images string, n int) error {
	if have == n {
		return nil
	}
	return labels.At(4, fmt.Sprintf("%d labels, as many as %s has images", n, images), fmt.Sprint(have), FixPair)
}

// idxHeader reads the magic number and so many dimensions.
func idxHeader(s *Input, magic uint32, count int) ([]uint32, error) {
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

// room refuses n elements of so many bytes each where the rest of the file is too
// small for them, and gives the bytes of all of them.
func (s *Input) room(n, each uint64, what string) (int, error) {
	room := uint64(min(s.limit-s.offset, math.MaxInt))
	if each <= room && n <= room/each {
		return int(n * each), nil
	}
	found := fmt.Sprintf("%d bytes", room)
	if s.packed {
		found = fmt.Sprintf("a gzip file that can hold %d bytes at most", room)
	}
	return 0, s.fault(what+" after the header that says so", found, FixDownload)
}

// idxElements reads what a header promised, n elements of so many bytes each, and
// then the end. A promise that the file is too small to hold is refused before
// anything is allocated; for gzip, whose real size is not known, memory grows
// with what has been unpacked.
func idxElements(s *Input, n, each uint64, what string) ([]uint8, error) {
	total, err := s.room(n, each, what)
	if err != nil {
		return nil, err
	}
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
