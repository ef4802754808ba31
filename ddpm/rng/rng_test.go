package rng

import (
	"math"
	"testing"
)

// Random123's known-answer vectors for philox4x32-10.
func TestPhiloxKnownAnswers(t *testing.T) {
	for _, v := range []struct {
		key  uint64
		ctr  [4]uint32
		want [4]uint32
	}{
		{0, [4]uint32{}, [4]uint32{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
		{
			math.MaxUint64,
			[4]uint32{math.MaxUint32, math.MaxUint32, math.MaxUint32, math.MaxUint32},
			[4]uint32{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd},
		},
		{
			0x299f31d0a4093822,
			[4]uint32{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
			[4]uint32{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1},
		},
	} {
		if got := Philox4x32(v.key, v.ctr); got != v.want {
			t.Errorf("Philox4x32(%#x, %#x) = %#x, want %#x", v.key, v.ctr, got, v.want)
		}
	}
}

func TestCounterNamesAreDistinct(t *testing.T) {
	seen := map[[4]uint32]bool{}
	for p := Order; p < PurposeFuture; p++ {
		for _, step := range []uint64{0, 1, 1 << 32, 1<<56 - 1} {
			for _, ex := range []uint32{0, 1, math.MaxUint32} {
				for _, block := range []uint32{0, 1, math.MaxUint32} {
					c := Counter(p, step, ex, block)
					if seen[c] {
						t.Fatalf("counter %v named twice", c)
					}
					seen[c] = true
				}
			}
		}
	}
}

func TestElementaryAgainstMath(t *testing.T) {
	ulp := func(got, want float64) float64 {
		return math.Abs(got-want) / (math.Nextafter(math.Abs(want), math.Inf(1)) - math.Abs(want))
	}
	for i := range 20000 {
		w := Philox4x32(7, Counter(Noise, 0, 0, uint32(i)))
		x := Unit(w[0])
		if got, want := Log(x), math.Log(x); ulp(got, want) > 4 {
			t.Fatalf("Log(%v) = %v, want %v", x, got, want)
		}
		y := (Unit(w[1]) - 0.5) * 40
		if got, want := Exp(y), math.Exp(y); ulp(got, want) > 4 {
			t.Fatalf("Exp(%v) = %v, want %v", y, got, want)
		}
		z := (Unit(w[2]) - 0.5) * 4000
		if got, want := Sin(z), math.Sin(z); math.Abs(got-want) > 4e-16 {
			t.Fatalf("Sin(%v) = %v, want %v", z, got, want)
		}
		if got, want := Cos(z), math.Cos(z); math.Abs(got-want) > 4e-16 {
			t.Fatalf("Cos(%v) = %v, want %v", z, got, want)
		}
	}
	for _, bad := range []float64{0, -1, math.Inf(1), math.NaN()} {
		if !math.IsNaN(Log(bad)) {
			t.Errorf("Log(%v) = %v, want NaN", bad, Log(bad))
		}
	}
}

func TestNormalMoments(t *testing.T) {
	x := make([]float32, 1<<20)
	Normals(x, 3, Noise, 5, 9)
	var m [5]float64
	for _, v := range x {
		p := 1.0
		for k := range m {
			m[k] += p
			p *= float64(v)
		}
	}
	for k, want := range []float64{1, 0, 1, 0, 3} {
		if got := m[k] / float64(len(x)); math.Abs(got-want) > 0.02 {
			t.Errorf("moment %d is %.4f, want %.0f", k, got, want)
		}
	}
}

func TestNormalsElementsStandAlone(t *testing.T) {
	long, short := make([]float32, 103), make([]float32, 31)
	Normals(long, 1, Noise, 2, 3)
	Normals(short, 1, Noise, 2, 3)
	for i := range short {
		if long[i] != short[i] {
			t.Fatalf("element %d depends on the length: %v and %v", i, long[i], short[i])
		}
	}
}

func TestUniformsStayInside(t *testing.T) {
	x := make([]float32, 4099)
	Uniforms(x, 0.25, 1, Init, 0, 4)
	var sum float64
	for i, v := range x {
		if v <= -0.25 || v >= 0.25 {
			t.Fatalf("element %d is %v", i, v)
		}
		sum += float64(v)
	}
	if math.Abs(sum/float64(len(x))) > 0.01 {
		t.Errorf("mean %v", sum/float64(len(x)))
	}
}

func TestPermutationIsOne(t *testing.T) {
	for _, n := range []uint64{1, 2, 3, 4, 5, 16, 17, 100, 1000, 4096, 60000} {
		p := NewPermutation(11, 2, n)
		seen := make([]bool, n)
		fixed := 0
		for i := range n {
			j := p.At(i)
			if j >= n || seen[j] {
				t.Fatalf("n=%d: %d goes to %d, which is out of range or taken", n, i, j)
			}
			seen[j] = true
			if i == j {
				fixed++
			}
		}
		if n >= 1000 && fixed > 12 {
			t.Errorf("n=%d: %d fixed points", n, fixed)
		}
	}
}

func TestPermutationsDiffer(t *testing.T) {
	const n = 1000
	a, b, c := NewPermutation(1, 0, n), NewPermutation(1, 1, n), NewPermutation(2, 0, n)
	same := 0
	for i := range uint64(n) {
		if a.At(i) == b.At(i) || a.At(i) == c.At(i) {
			same++
		}
	}
	if same > 20 {
		t.Errorf("%d of %d elements agree between epochs or seeds", same, n)
	}
}
