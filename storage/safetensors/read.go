package safetensors

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"slices"
)

// File is an opened file, whose tensors are read when asked for.
type File struct {
	Header
	r      io.ReaderAt
	byName map[string]Info
}

// Open reads and checks the header of a file of size bytes.
func Open(r io.ReaderAt, size int64) (*File, error) {
	h, err := ReadHeader(io.NewSectionReader(r, 0, size), size)
	if err != nil {
		return nil, err
	}
	f := &File{Header: h, r: r, byName: make(map[string]Info, len(h.Tensors))}
	for _, t := range h.Tensors {
		f.byName[t.Name] = t
	}
	return f, nil
}

// Parse is Open of a file in memory.
func Parse(b []byte) (*File, error) { return Open(bytes.NewReader(b), int64(len(b))) }

// Names returns the tensors' names, sorted.
func (f *File) Names() []string {
	names := make([]string, 0, len(f.Tensors))
	for _, t := range f.Tensors {
		names = append(names, t.Name)
	}
	slices.Sort(names)
	return names
}

// Lookup returns what the header says about a tensor.
func (f *File) Lookup(name string) (Info, bool) {
	t, ok := f.byName[name]
	return t, ok
}

// Raw returns the bytes of a tensor of any dtype.
func (f *File) Raw(name string) (*io.SectionReader, error) {
	t, ok := f.byName[name]
	if !ok {
		return nil, fmt.Errorf("safetensors: no tensor is named %q", name)
	}
	return io.NewSectionReader(f.r, t.Begin, t.End-t.Begin), nil
}

// Tensor reads a tensor as ReadTensor does.
func (f *File) Tensor(name string) (Tensor, error) {
	raw, err := f.Raw(name)
	if err != nil {
		return Tensor{}, err
	}
	return ReadTensor(raw, f.byName[name])
}

// ReadTensor reads the tensor that a header describes from a reader that stands at
// its first byte. It is F32, or F16 or BF16, whose every value is one of float32.
func ReadTensor(r io.Reader, info Info) (Tensor, error) {
	if info.DType != F32 && info.DType != F16 && info.DType != BF16 {
		return Tensor{}, fmt.Errorf("safetensors: tensor %q is %s, not F32, F16 or BF16", info.Name, info.DType)
	}
	t := Tensor{Name: info.Name, Shape: make([]int, len(info.Shape)), Data: make([]float32, info.Elements())}
	for i, d := range info.Shape {
		t.Shape[i] = int(d)
	}
	read := ReadFloats
	if info.DType != F32 {
		read = func(r io.Reader, dst []float32) error { return readHalves(r, dst, info.DType) }
	}
	if err := read(r, t.Data); err != nil {
		return Tensor{}, fmt.Errorf("tensor %q: %w", info.Name, err)
	}
	return t, nil
}

// ReadFloats fills dst with little-endian float32 values, taking little memory
// beside it.
func ReadFloats(r io.Reader, dst []float32) error {
	buf := make([]byte, min(64<<10, 4*len(dst)))
	for len(dst) > 0 {
		b := buf[:min(len(buf), 4*len(dst))]
		if _, err := io.ReadFull(r, b); err != nil {
			return readError(err)
		}
		for i := range len(b) / 4 {
			dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
		}
		dst = dst[len(b)/4:]
	}
	return nil
}
