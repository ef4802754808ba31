package allreduce

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// The format is the protocol: it must not change unnoticed.
func TestPackedBytes(t *testing.T) {
	tests := []struct {
		name   string
		values []int64
		want   string
	}{
		{"nothing", nil, ""},
		{"one zero", []int64{0}, "00"},
		{"a block of zeros and one more", make([]int64, blockLen+1), "0000"},
		{"one value", []int64{-1}, "01" + "0100000000000000" + "0000000000000000" + "0000000000000000" + "0000000000000000"},
		{"two rows of four", []int64{1, -2, 3, -4, 0, -1, 2, -3},
			"03" + "0200000000000000" + "0b00000000000000" + "2600000000000000" + "2f00000000000000"},
		{"over the word's end", []int64{math.MaxInt64, 0, 0, 0, math.MinInt64},
			"40" + "feffffffffffffff" + "0000000000000000" + "0000000000000000" + "0000000000000000" +
				"ffffffffffffffff" + "0000000000000000" + "0000000000000000" + "0000000000000000"},
		{"a value over two words", []int64{1 << 60, 0, 0, 0, 3},
			"3e" + "00000000000000a0" + "0000000000000000" + "0000000000000000" + "0000000000000000" +
				"0100000000000000" + "0000000000000000" + "0000000000000000" + "0000000000000000"},
	}
	for _, tt := range tests {
		if got := hex.EncodeToString(AppendPacked(nil, tt.values)); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

// withWidth is n values whose largest takes w bits in zigzag form.
func withWidth(r *rand.Rand, n, w int) []int64 {
	x := make([]int64, n)
	for i := range x {
		if w > 0 {
			x[i] = unzigzag(r.Uint64() >> (64 - w))
		}
	}
	if n > 0 && w > 0 {
		x[r.IntN(n)] = unzigzag(1<<(w-1) | r.Uint64()>>(64-w))
	}
	return x
}

func TestPackEveryWidthAndLength(t *testing.T) {
	r := newRand(t)
	for w := 0; w <= maxWidth; w++ {
		for _, n := range []int{1, 2, 3, 4, 5, 63, 64, 65, 127, 128, 255, 256, 257, 511, 512, 515} {
			values := withWidth(r, n, w)
			packed := AppendPacked([]byte("front"), values)
			if !bytes.HasPrefix(packed, []byte("front")) {
				t.Fatal("what was there before has changed")
			}
			packed = packed[len("front"):]
			if len(packed) > PackedBound(n) || (w == maxWidth && n <= blockLen && len(packed) != PackedBound(n)) {
				t.Fatalf("%d values of %d bits take %d bytes, bound %d", n, w, len(packed), PackedBound(n))
			}
			if want := 1 + blockLen*w/8; n == blockLen && len(packed) != want {
				t.Fatalf("a block of %d bits takes %d bytes, want %d", w, len(packed), want)
			}
			got := slices.Repeat([]int64{-7}, n)
			if err := Unpack(got, packed); err != nil || !slices.Equal(got, values) {
				t.Fatalf("%d values of %d bits do not come back (%v)", n, w, err)
			}
		}
	}
}

func TestSumsOfPackedValues(t *testing.T) {
	r := newRand(t)
	for _, n := range []int{0, 1, 4, 255, 256, 257, 700} {
		a, b := withWidth(r, n, r.IntN(62)), withWidth(r, n, r.IntN(62))
		want := make([]int64, n)
		for i := range want {
			want[i] = a[i] + b[i]
		}
		sum, err := appendSum(nil, AppendPacked(nil, a), own{sums: b})
		if err != nil || !bytes.Equal(sum, AppendPacked(nil, want)) {
			t.Errorf("%d values: appendSum is wrong (%v)", n, err)
		}
		got := make([]int64, n)
		if err := unpackAdd(got, AppendPacked(nil, a), own{sums: b}); err != nil || !slices.Equal(got, want) {
			t.Errorf("%d values: unpackAdd is wrong (%v)", n, err)
		}
	}
}

func TestUnpackRefusesMalformedInput(t *testing.T) {
	r := newRand(t)
	whole := AppendPacked(nil, withWidth(r, 300, 33))
	wide := slices.Clone(whole)
	wide[0] = maxWidth + 1
	padded := AppendPacked(nil, []int64{1, 2, 3})
	padded[1+3*8] = 1 // the lane without a value
	after := AppendPacked(nil, []int64{1, 2, 3})
	after[1+7] = 0x80 // a value has 3 bits
	tests := []struct {
		name string
		src  []byte
		n    int
	}{
		{"nothing", nil, 1},
		{"too short by one", whole[:len(whole)-1], 300},
		{"width alone", whole[:1], 300},
		{"first block alone", AppendPacked(nil, make([]int64, blockLen)), blockLen + 1},
		{"one byte more", append(slices.Clone(whole), 0), 300},
		{"bytes for no values", []byte{0}, 0},
		{"width of 65", wide, 300},
		{"a value that is not there", padded, 3},
		{"bits after the last value", after, 3},
	}
	for _, tt := range tests {
		if err := Unpack(make([]int64, tt.n), tt.src); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: Unpack gives %v", tt.name, err)
		}
		if _, err := appendSum(nil, tt.src, own{sums: make([]int64, tt.n)}); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: appendSum gives %v", tt.name, err)
		}
	}
}

func FuzzUnpack(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 2))
	f.Add([]byte{}, uint16(0))
	f.Add([]byte{0}, uint16(256))
	f.Add(AppendPacked(nil, withWidth(r, 5, 7)), uint16(5))
	f.Add(AppendPacked(nil, withWidth(r, 300, 64)), uint16(300))
	f.Fuzz(func(t *testing.T, src []byte, n uint16) {
		got := make([]int64, n)
		if err := Unpack(got, src); err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatal(err)
			}
			return
		}
		// A block may be wider than it needs, so the bytes may differ.
		packed := AppendPacked(nil, got)
		again := make([]int64, n)
		if err := Unpack(again, packed); err != nil || !slices.Equal(again, got) || len(packed) > len(src) {
			t.Fatalf("%d values in %d bytes come back from %d differently (%v)", n, len(src), len(packed), err)
		}
	})
}

func FuzzPack(f *testing.F) {
	f.Add([]byte("some bytes that become values"), uint8(3))
	f.Add(bytes.Repeat([]byte{0xff, 0, 0x80}, 999), uint8(40))
	f.Fuzz(func(t *testing.T, raw []byte, shift uint8) {
		values := make([]int64, len(raw)/8)
		getInt64s(values, raw)
		for i := range values {
			values[i] >>= shift % 64
		}
		packed := AppendPacked(nil, values)
		got := make([]int64, len(values))
		if err := Unpack(got, packed); err != nil || !slices.Equal(got, values) {
			t.Fatalf("%d values do not come back (%v)", len(values), err)
		}
		if len(packed) > PackedBound(len(values)) {
			t.Fatalf("%d values take %d bytes, bound %d", len(values), len(packed), PackedBound(len(values)))
		}
	})
}
