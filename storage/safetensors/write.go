package safetensors

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"unicode/utf8"
)

// Tensor is a float32 tensor in C order: len(Data) is the product of Shape. An
// empty Shape is a scalar.
type Tensor struct {
	Name  string
	Shape []int
	Data  []float32
}

// maxHeader is the longest header that the format allows, in bytes.
const maxHeader = 100_000_000

const metadataKey = "__metadata__"

// Size returns the length in bytes of the file that Write writes.
func Size(metadata map[string]string, tensors []Tensor) (int64, error) {
	_, size, err := NewReader(metadata, tensors)
	return size, err
}

// Write writes a file. Tools of PyTorch want the metadata {"format": "pt"}.
func Write(w io.Writer, metadata map[string]string, tensors []Tensor) error {
	r, _, err := NewReader(metadata, tensors)
	if err != nil {
		return err
	}
	_, err = io.Copy(w, r)
	return err
}

// NewReader returns a reader that gives the file that Write writes, and its length
// in bytes. It reads from the tensors' own memory, which must not change before
// the last byte is read.
func NewReader(metadata map[string]string, tensors []Tensor) (io.Reader, int64, error) {
	// All are F32, so that descending alignment leaves the order to the names.
	tensors = slices.Clone(tensors)
	slices.SortFunc(tensors, func(a, b Tensor) int { return strings.Compare(a.Name, b.Name) })
	head, size, err := header(metadata, tensors)
	if err != nil {
		return nil, 0, fmt.Errorf("safetensors: %w", err)
	}
	readers := []io.Reader{bytes.NewReader(head)}
	for _, t := range tensors {
		readers = append(readers, &floatReader{data: t.Data})
	}
	return io.MultiReader(readers...), size, nil
}

// header returns all that comes before the tensors' bytes, and the file's length.
func header(metadata map[string]string, tensors []Tensor) ([]byte, int64, error) {
	var b bytes.Buffer
	b.Write(make([]byte, 8)) // N, known at the end
	b.WriteByte('{')
	if len(metadata) > 0 {
		if err := field(&b, metadataKey, metadata); err != nil {
			return nil, 0, err
		}
	}
	var offset int64
	for i, t := range tensors {
		if err := check(t, i > 0 && tensors[i-1].Name == t.Name); err != nil {
			return nil, 0, err
		}
		end := offset + 4*int64(len(t.Data))
		if err := field(&b, t.Name, entry{F32, append([]int{}, t.Shape...), [2]int64{offset, end}}); err != nil {
			return nil, 0, err
		}
		offset = end
	}
	b.WriteByte('}')
	for b.Len()%8 != 0 {
		b.WriteByte(' ')
	}
	head := b.Bytes()
	n := len(head) - 8
	if n > maxHeader {
		return nil, 0, fmt.Errorf("the header has %d bytes; the format allows %d", n, maxHeader)
	}
	binary.LittleEndian.PutUint64(head, uint64(n))
	return head, int64(len(head)) + offset, nil
}

// entry is a tensor's value in the header.
type entry struct {
	DType   DType    `json:"dtype"`
	Shape   []int    `json:"shape"`
	Offsets [2]int64 `json:"data_offsets"`
}

// field appends one key and value to a JSON object.
func field(b *bytes.Buffer, name string, value any) error {
	if b.Bytes()[b.Len()-1] != '{' {
		b.WriteByte(',')
	}
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false)
	for i, v := range []any{name, value} {
		if i > 0 {
			b.WriteByte(':')
		}
		if err := enc.Encode(v); err != nil {
			return err
		}
		b.Truncate(b.Len() - 1) // the newline that Encode adds
	}
	return nil
}

func check(t Tensor, twice bool) error {
	switch {
	case twice:
		return fmt.Errorf("two tensors are named %q", t.Name)
	case t.Name == metadataKey || !utf8.ValidString(t.Name):
		return fmt.Errorf("no tensor can be named %q", t.Name)
	}
	shape := make([]int64, len(t.Shape))
	for i, d := range t.Shape {
		shape[i] = int64(d)
	}
	n, err := byteSize(F32, shape)
	if err != nil {
		return fmt.Errorf("tensor %q: %w", t.Name, err)
	}
	if n != 4*int64(len(t.Data)) {
		return fmt.Errorf("tensor %q: shape %v does not have %d elements", t.Name, t.Shape, len(t.Data))
	}
	return nil
}

// floatReader gives the little-endian bytes of float32 values.
type floatReader struct {
	data []float32
	rest []byte // of a value that did not fit in the last read
	buf  [4]byte
}

func (r *floatReader) Read(p []byte) (int, error) {
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	whole := min((len(p)-n)/4, len(r.data))
	for i, v := range r.data[:whole] {
		binary.LittleEndian.PutUint32(p[n+4*i:], math.Float32bits(v))
	}
	r.data, n = r.data[whole:], n+4*whole
	if n < len(p) && len(r.data) > 0 {
		binary.LittleEndian.PutUint32(r.buf[:], math.Float32bits(r.data[0]))
		r.data = r.data[1:]
		c := copy(p[n:], r.buf[:])
		r.rest = r.buf[c:]
		n += c
	}
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n, nil
}
