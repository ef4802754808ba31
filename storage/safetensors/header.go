package safetensors

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/bits"
	"slices"
	"unicode/utf8"
)

// ErrFormat says that bytes are no valid safetensors file.
var ErrFormat = errors.New("not a valid safetensors file")

// Info is what a header says about a tensor.
type Info struct {
	Name  string
	DType DType
	Shape []int64
	// Begin and End are the range of its bytes, counted from the file's start.
	Begin, End int64
}

// Elements returns how many elements the tensor has.
func (i Info) Elements() int64 { return (i.End - i.Begin) / i.DType.Size() }

// Header is the parsed and checked start of a file.
type Header struct {
	// Metadata is the file's "__metadata__", nil where it has none.
	Metadata map[string]string
	// Tensors are in the order of their bytes, which follow each other without a
	// gap up to the file's end.
	Tensors []Info
}

// ReadHeader reads a header from the start of a file of size bytes, and not a byte
// more, so that the tensors can be read on from r in order. Bytes that break the
// format are ErrFormat; an error of r is returned as it is.
func ReadHeader(r io.Reader, size int64) (Header, error) {
	var lead [8]byte
	if size < int64(len(lead)) {
		return Header{}, broken("%d bytes are too short for one", size)
	}
	if _, err := io.ReadFull(r, lead[:]); err != nil {
		return Header{}, readError(err)
	}
	n := binary.LittleEndian.Uint64(lead[:])
	if n > maxHeader || int64(n) > size-8 {
		return Header{}, broken("its header of %d bytes does not fit in the %d bytes of the file, or exceeds %d", n, size, maxHeader)
	}
	text := make([]byte, n)
	if _, err := io.ReadFull(r, text); err != nil {
		return Header{}, readError(err)
	}
	if len(text) == 0 || text[0] != '{' || !utf8.Valid(text) {
		return Header{}, broken("its header is no UTF-8 text that begins with {")
	}
	h, err := parseHeader(text)
	if err != nil {
		return Header{}, broken("header: %v", err)
	}
	if err := h.place(8+int64(n), size); err != nil {
		return Header{}, err
	}
	return h, nil
}

// place checks that the tensors' ranges cover the file from start to size, sorts
// them, and makes them count from the file's start.
func (h *Header) place(start, size int64) error {
	slices.SortFunc(h.Tensors, func(a, b Info) int {
		return cmp.Or(cmp.Compare(a.Begin, b.Begin), cmp.Compare(a.End, b.End))
	})
	var end int64
	for i := range h.Tensors {
		t := &h.Tensors[i]
		n, err := byteSize(t.DType, t.Shape)
		if err != nil {
			return broken("tensor %q: %v", t.Name, err)
		}
		if t.Begin != end || t.End < t.Begin || t.End-t.Begin != n {
			return broken("tensor %q of %d bytes has the range [%d, %d), but the bytes before it end at %d", t.Name, n, t.Begin, t.End, end)
		}
		end = t.End
		if end > size-start {
			break // and the sums below stay in range
		}
		t.Begin, t.End = t.Begin+start, t.End+start
	}
	if end != size-start {
		return broken("it has %d bytes of data, its header says %d", size-start, end)
	}
	return nil
}

// byteSize returns the bytes that a tensor takes.
func byteSize(d DType, shape []int64) (int64, error) {
	n := uint64(d.Size())
	if n == 0 {
		return 0, fmt.Errorf("unknown dtype %q", d)
	}
	for _, dim := range shape {
		if dim < 0 {
			return 0, fmt.Errorf("shape %v has a negative dimension", shape)
		}
		hi, lo := bits.Mul64(n, uint64(dim))
		if hi != 0 || lo > math.MaxInt64 {
			return 0, fmt.Errorf("shape %v is too large", shape)
		}
		n = lo
	}
	return int64(n), nil
}

// broken is an ErrFormat that says why.
func broken(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrFormat, fmt.Errorf(format, args...))
}

// readError turns the early end of a reader into an ErrFormat.
func readError(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return broken("it ends early")
	}
	return fmt.Errorf("safetensors: %w", err)
}
