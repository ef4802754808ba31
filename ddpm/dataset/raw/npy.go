package raw

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"strconv"
	"strings"
)

// array is the header of a .npy file (NumPy Enhancement Proposal 1): its element type
// in NumPy's notation, and its shape.
type array struct {
	kind  string
	shape []int
}

// maxHeader bounds the header's text, in bytes.
const maxHeader = 1 << 12

// npyHeader reads the header of a .npy file: "\x93NUMPY", a version, the length of a
// Python dictionary, and the dictionary.
func npyHeader(r io.Reader) (array, error) {
	var head [10]byte
	if _, err := io.ReadFull(r, head[:]); err != nil || string(head[:6]) != "\x93NUMPY" {
		return array{}, errors.New("it is no .npy file")
	}
	size := uint32(binary.LittleEndian.Uint16(head[8:]))
	if head[6] >= 2 {
		var high [2]byte
		if _, err := io.ReadFull(r, high[:]); err != nil {
			return array{}, errors.New("its header is cut off")
		}
		size |= uint32(binary.LittleEndian.Uint16(high[:])) << 16
	}
	if size > maxHeader {
		return array{}, fmt.Errorf("its header has %d bytes; at most %d are read", size, maxHeader)
	}
	text := make([]byte, size)
	if _, err := io.ReadFull(r, text); err != nil {
		return array{}, errors.New("its header is cut off")
	}
	return parseNPY(string(text))
}

// parseNPY reads the dictionary: {'descr': '|u1', 'fortran_order': False, 'shape': (3, 4), }.
func parseNPY(text string) (array, error) {
	field := func(name, value string) string {
		m := regexp.MustCompile(`'` + name + `'\s*:\s*` + value).FindStringSubmatch(text)
		if m == nil {
			return ""
		}
		return m[1]
	}
	a := array{kind: field("descr", `'([^']*)'`)}
	order, shape := field("fortran_order", `(True|False)`), field("shape", `(\([0-9, ]*\))`)
	if a.kind == "" || order == "" || shape == "" {
		return array{}, fmt.Errorf("its header is none: %.100q", text)
	}
	if order == "True" {
		return array{}, errors.New("it is in Fortran's order; save it by numpy.ascontiguousarray")
	}
	for part := range strings.SplitSeq(strings.Trim(shape, "()"), ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		n, err := strconv.ParseInt(part, 10, 32)
		if err != nil || n < 1 {
			return array{}, fmt.Errorf("a side of its shape %s is not in 1 … 2147483647", shape)
		}
		a.shape = append(a.shape, int(n))
	}
	return a, nil
}

// whole is how an array has whole numbers: in so many bytes, below 0 too where they are
// signed.
type whole struct {
	width  int
	signed bool
}

// integers says how the array's numbers are written, if they are whole.
func (a array) integers() (whole, error) {
	m := regexp.MustCompile(`^[<|=]?([iu])([1248])$`).FindStringSubmatch(a.kind)
	if m == nil {
		return whole{}, fmt.Errorf("its elements are %s; whole numbers are read", a.kind)
	}
	width, err := strconv.Atoi(m[2])
	return whole{width, m[1] == "i"}, err
}

// label reads a little-endian number; NoLabel for one that is below 0 or no int32.
func (w whole) label(b []byte) int {
	v := uint64(0)
	for k, x := range b {
		v |= uint64(x) << (8 * k)
	}
	if sign := uint64(1) << (8*w.width - 1); w.signed && v&sign != 0 || v > math.MaxInt32 {
		return NoLabel
	}
	return int(v)
}
