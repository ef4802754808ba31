package safetensors

import (
	"math"
	"testing"
)

// Values of IEEE 754-2008's binary16 and of bfloat16, by their bits.
func TestHalvesWiden(t *testing.T) {
	inf := float32(math.Inf(1))
	for bits, want := range map[uint16]float32{
		0x0000: 0, 0x3c00: 1, 0xc000: -2, 0x7bff: 65504, 0x0400: 0x1p-14, 0x0001: 0x1p-24, 0x83ff: -0x1p-14 + 0x1p-24,
		0x3555: 0.333251953125, 0x7c00: inf, 0xfc00: -inf,
	} {
		if got := fromF16(bits); got != want {
			t.Errorf("F16 %#04x is %v, want %v", bits, got, want)
		}
	}
	if got := fromF16(0x7e00); got == got {
		t.Errorf("F16 NaN is %v", got)
	}
	if got := fromF16(0x8000); got != 0 || !math.Signbit(float64(got)) {
		t.Errorf("F16 minus zero is %v", got)
	}
	for bits, want := range map[uint16]float32{0: 0, 0x3f80: 1, 0xc000: -2, 0x0080: 0x1p-126, 0x7f80: inf} {
		if got := fromBF16(bits); got != want {
			t.Errorf("BF16 %#04x is %v, want %v", bits, got, want)
		}
	}
}
