package safetensors

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

func encode(t *testing.T, metadata map[string]string, tensors []Tensor) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, metadata, tensors); err != nil {
		t.Fatal(err)
	}
	size, err := Size(metadata, tensors)
	if err != nil || size != int64(b.Len()) {
		t.Fatalf("Size says %d, %v; there are %d bytes", size, err, b.Len())
	}
	return b.Bytes()
}

// The vector of the format's own tests.
func TestEmptyFile(t *testing.T) {
	const want = "08000000000000007b7d202020202020"
	if got := hex.EncodeToString(encode(t, nil, nil)); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestFileBytes(t *testing.T) {
	got := encode(t, map[string]string{"format": "pt"}, []Tensor{
		{Name: "b<", Shape: []int{}, Data: []float32{-2}},
		{Name: "a\"ü", Shape: []int{2, 1}, Data: []float32{1, float32(math.Inf(1))}},
	})
	head := `{"__metadata__":{"format":"pt"},` +
		`"a\"ü":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]},` +
		`"b<":{"dtype":"F32","shape":[],"data_offsets":[8,12]}}`
	head += strings.Repeat(" ", (8-len(head)%8)%8)
	want := string(binary.LittleEndian.AppendUint64(nil, uint64(len(head)))) + head +
		"\x00\x00\x80\x3f" + "\x00\x00\x80\x7f" + "\x00\x00\x00\xc0"
	if string(got) != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func randomTensors(random *rand.Rand) []Tensor {
	var tensors []Tensor
	for i := range random.IntN(6) {
		shape, n := []int{}, 1
		for range random.IntN(4) {
			d := random.IntN(7)
			shape, n = append(shape, d), n*d
		}
		data := make([]float32, n)
		for j := range data {
			data[j] = math.Float32frombits(random.Uint32()) // NaNs and all
		}
		tensors = append(tensors, Tensor{Name: fmt.Sprintf("%d.%d", random.IntN(100), i), Shape: shape, Data: data})
	}
	return tensors
}

func bitsOf(data []float32) []uint32 {
	b := make([]uint32, len(data))
	for i, v := range data {
		b[i] = math.Float32bits(v)
	}
	return b
}

func TestRoundTrip(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for range 200 {
		tensors := randomTensors(random)
		metadata := map[string]string{}
		for i := range random.IntN(3) {
			metadata[fmt.Sprint(i)] = strings.Repeat("é\"", i)
		}
		b := encode(t, metadata, tensors)
		f, err := Parse(b)
		if err != nil {
			t.Fatal(err)
		}
		if len(f.Metadata) != len(metadata) || len(metadata) > 0 && !reflect.DeepEqual(f.Metadata, metadata) {
			t.Fatalf("metadata %v became %v", metadata, f.Metadata)
		}
		var names []string
		for _, want := range tensors {
			names = append(names, want.Name)
			got, err := f.Tensor(want.Name)
			if err != nil || !slices.Equal(got.Shape, want.Shape) || !slices.Equal(bitsOf(got.Data), bitsOf(want.Data)) {
				t.Fatalf("tensor %+v became %+v, %v", want, got, err)
			}
			if info, ok := f.Lookup(want.Name); !ok || info.Begin%4 != 0 || info.Elements() != int64(len(want.Data)) {
				t.Fatalf("tensor %+v lies at %+v", want, info)
			}
		}
		if slices.Sort(names); !slices.Equal(f.Names(), names) {
			t.Fatalf("names %q became %q", names, f.Names())
		}
	}
}

// However the reader is read, the bytes are the same.
func TestReaderInPieces(t *testing.T) {
	tensors := []Tensor{{Name: "a", Shape: []int{7}, Data: []float32{1, 2, 3, 4, 5, 6, 7}}, {Name: "b", Data: []float32{8}}}
	want := encode(t, nil, tensors)
	for size := 1; size < 12; size++ {
		r, n, err := NewReader(nil, tensors)
		if err != nil || n != int64(len(want)) {
			t.Fatal(n, err)
		}
		var got []byte
		for buf := make([]byte, size); err == nil; {
			var k int
			k, err = r.Read(buf)
			got = append(got, buf[:k]...)
		}
		if !errors.Is(err, io.EOF) || !bytes.Equal(got, want) {
			t.Errorf("in pieces of %d: got %x, %v, want %x", size, got, err, want)
		}
	}
	r, _, err := NewReader(nil, tensors)
	if err != nil {
		t.Fatal(err)
	}
	if err := iotest.TestReader(r, want); err != nil {
		t.Error(err)
	}
}

// A stream is read once, header first, without seeking.
func TestStream(t *testing.T) {
	b := encode(t, nil, []Tensor{{Name: "b", Shape: []int{2}, Data: []float32{3, 4}}, {Name: "a", Shape: []int{3}, Data: []float32{5, 6, 7}}})
	r := iotest.OneByteReader(bytes.NewReader(b))
	h, err := ReadHeader(r, int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	var all []float32
	for _, info := range h.Tensors {
		tensor, err := ReadTensor(r, info)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, tensor.Data...)
	}
	if !slices.Equal(all, []float32{5, 6, 7, 3, 4}) {
		t.Errorf("got %v", all)
	}
	if err := ReadFloats(r, make([]float32, 1)); !errors.Is(err, ErrFormat) {
		t.Errorf("past the end: %v", err)
	}
	broken := errors.New("broken")
	if _, err := ReadHeader(iotest.ErrReader(broken), 100); !errors.Is(err, broken) || errors.Is(err, ErrFormat) {
		t.Errorf("a reader's own error became %v", err)
	}
}

func TestWriteRefuses(t *testing.T) {
	one := []float32{1}
	for want, tensors := range map[string][]Tensor{
		`two tensors are named "a"`:                  {{Name: "a", Data: one}, {Name: "b", Data: one}, {Name: "a", Data: one}},
		`no tensor can be named "__metadata__"`:      {{Name: "__metadata__", Data: one}},
		`no tensor can be named "\xff"`:              {{Name: "\xff", Data: one}},
		`shape [2] does not have 1 elements`:         {{Name: "a", Shape: []int{2}, Data: one}},
		`shape [-1 -1] has a negative dimension`:     {{Name: "a", Shape: []int{-1, -1}, Data: one}},
		`shape [4294967296 4294967296] is too large`: {{Name: "a", Shape: []int{1 << 32, 1 << 32}, Data: one}},
	} {
		if err := Write(io.Discard, nil, tensors); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// file makes a file of a header's text and so many bytes of data.
func file(head string, data int) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(head)))
	return append(append(b, head...), make([]byte, data)...)
}

func TestReadAccepts(t *testing.T) {
	for head, data := range map[string]int{
		`{}`:    0,
		"{}\n ": 0,
		`{"b":{"shape":[2],"data_offsets":[4,8],"dtype":"BF16"},"a":{"dtype":"F32","shape":[1,1],"data_offsets":[0,4]}}`: 8,
		`{"x":{"dtype":"F32","shape":[0,5],"data_offsets":[0,0]}}`:                                                       0,
		`{"x":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},"__metadata__":{"k":""}}`:                                  3,
	} {
		if _, err := Parse(file(head, data)); err != nil {
			t.Errorf("%s: %v", head, err)
		}
	}
	for dtype, size := range map[DType]int{
		Bool: 1, U8: 1, I8: 1, F8E5M2: 1, F8E4M3: 1, I16: 2, U16: 2, F16: 2, BF16: 2, I32: 4, U32: 4, F32: 4, F64: 8, I64: 8, U64: 8,
	} {
		f, err := Parse(file(fmt.Sprintf(`{"x":{"dtype":"%s","shape":[3],"data_offsets":[0,%d]}}`, dtype, 3*size), 3*size))
		if err != nil {
			t.Errorf("%s: %v", dtype, err)
			continue
		}
		raw, err := f.Raw("x")
		if err != nil || raw.Size() != int64(3*size) {
			t.Errorf("%s: raw of %d bytes, %v", dtype, raw.Size(), err)
		}
		if _, err := f.Tensor("x"); (err == nil) != (dtype == F32 || dtype == F16 || dtype == BF16) {
			t.Errorf("%s: read as float32: %v", dtype, err)
		}
		if _, err := f.Tensor("y"); err == nil {
			t.Error("a tensor that is not there was read")
		}
	}
}

func TestReadRefuses(t *testing.T) {
	type m = map[string][]byte
	tensor := func(body string, data int) []byte { return file(`{"x":{`+body+`}}`, data) }
	tests := m{
		"too short for one":       []byte("1234567"),
		"does not fit":            {9, 0, 0, 0, 0, 0, 0, 0, '{', '}'},
		"header of 184467440737":  {255, 255, 255, 255, 255, 255, 255, 255, '{', '}'},
		"begins with {":           file(` {}`, 0),
		"no UTF-8":                file("{\"\xff\":1}", 0),
		"there is more":           file(`{}{}`, 0),
		"no string":               file(`{"__metadata__":{"a":1}}`, 0),
		"want {, not [":           file(`{"__metadata__":[]}`, 0),
		`the key "x" appears`:     file(`{"x":{"dtype":"U8","shape":[],"data_offsets":[0,1]},"x":{"dtype":"U8","shape":[],"data_offsets":[0,1]}}`, 1),
		`the key "k" appears`:     file(`{"__metadata__":{"k":"a","k":"b"}}`, 0),
		`key "__metadata__" app`:  file(`{"__metadata__":{},"__metadata__":{}}`, 0),
		`the key "dtype" appears`: tensor(`"dtype":"U8","dtype":"U8","shape":[],"data_offsets":[0,1]`, 1),
		"unknown; a tensor has":   tensor(`"dtype":"U8","shape":[],"offsets":[0,1]`, 1),
		"want dtype, shape and":   tensor(`"dtype":"U8","data_offsets":[0,1]`, 1),
		"two data_offsets":        tensor(`"dtype":"U8","shape":[],"data_offsets":[0,1,1]`, 1),
		`unknown dtype "U7"`:      tensor(`"dtype":"U7","shape":[],"data_offsets":[0,1]`, 1),
		"1.0 is no integer":       tensor(`"dtype":"U8","shape":[1.0],"data_offsets":[0,1]`, 1),
		"-1 is no integer":        tensor(`"dtype":"U8","shape":[-1],"data_offsets":[0,1]`, 1),
		"9223372036854775808":     tensor(`"dtype":"U8","shape":[9223372036854775808],"data_offsets":[0,1]`, 1),
		"is too large":            tensor(`"dtype":"U64","shape":[4611686018427387904,4,0],"data_offsets":[0,0]`, 0),
		"has the range [0, 3)":    tensor(`"dtype":"F32","shape":[1],"data_offsets":[0,3]`, 3),
		"bytes before it end":     tensor(`"dtype":"U8","shape":[1],"data_offsets":[1,2]`, 2),
		"of 1 bytes has":          tensor(`"dtype":"U8","shape":[1],"data_offsets":[1,0]`, 0),
		"end at 2":                file(`{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}`, 3),
		"end at 1":                file(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}}`, 3),
		"2 bytes of data, its":    tensor(`"dtype":"U8","shape":[1],"data_offsets":[0,1]`, 2),
		"0 bytes of data, its":    tensor(`"dtype":"U8","shape":[9223372036854775807],"data_offsets":[0,9223372036854775807]`, 0),
		"unexpected EOF":          file(`{"a":{"dtype"`, 0),
		"invalid character":       file(`{"a" 1}`, 0),
	}
	for want, b := range tests {
		_, err := Parse(b)
		if !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %s", b, err, want)
		}
	}
}

// A length that lies costs no memory.
func TestLyingLength(t *testing.T) {
	b := binary.LittleEndian.AppendUint64(nil, 90_000_000)
	b = append(b, "{}"...)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := Parse(b)
	runtime.ReadMemStats(&after)
	if !errors.Is(err, ErrFormat) {
		t.Error(err)
	}
	if bytes := after.TotalAlloc - before.TotalAlloc; bytes > 1<<20 {
		t.Errorf("%d bytes allocated", bytes)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(file(`{}`, 0))
	f.Add(file(`{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"U8","shape":[],"data_offsets":[8,9]}}`, 9))
	f.Add(file(`{"a":{"dtype":"F32","shape":[9223372036854775807,9],"data_offsets":[0,8]}}`, 8))
	f.Add(file(`{"a":[[[[{"b":1}]]]]}`, 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		file, err := Parse(b)
		if err != nil {
			if !errors.Is(err, ErrFormat) {
				t.Errorf("not ErrFormat: %v", err)
			}
			return
		}
		var total int64
		tensors, all := []Tensor{}, true
		for _, info := range file.Tensors {
			total += info.End - info.Begin
			tensor, err := file.Tensor(info.Name)
			if (err == nil) != (info.DType == F32 || info.DType == F16 || info.DType == BF16) {
				t.Errorf("%+v: %v", info, err)
			}
			tensors, all = append(tensors, tensor), all && err == nil
		}
		if total > int64(len(b)) {
			t.Errorf("%d bytes of tensors in a file of %d", total, len(b))
		}
		if !all {
			return
		}
		// What was read can be written, and says the same again.
		var again bytes.Buffer
		if err := Write(&again, file.Metadata, tensors); err != nil {
			t.Fatal(err)
		}
		second, err := Parse(again.Bytes())
		if err != nil || !slices.Equal(second.Names(), file.Names()) {
			t.Errorf("written again: %v", err)
		}
	})
}
