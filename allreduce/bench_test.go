package allreduce

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/ddpm-cluster/ddpm-cluster/internal/cpulevel"
)

// gradient is n fixed-point values as gradients have them: about 2^-10 in size.
func gradient(n int) []int64 {
	r := rand.New(rand.NewPCG(1, 2))
	x := make([]int64, n)
	for i := range x {
		x[i] = int64(r.NormFloat64() * (1 << (DefaultFractionBits - 10)))
	}
	return x
}

const benchLen = 1 << 20

// benchLevels runs a benchmark of one segment's elements at every level.
func benchLevels(b *testing.B, bytes int, run func()) {
	for _, l := range cpulevel.Available() {
		b.Run(string(l), func(b *testing.B) {
			setLevel(b, l)
			b.SetBytes(int64(bytes) * DefaultSegmentElems)
			for b.Loop() {
				run()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/DefaultSegmentElems, "ns/value")
		})
	}
}

// floats are n values like a gradient's.
func floats(n int) []float32 {
	x := make([]float32, n)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range x {
		x[i] = float32(r.NormFloat64()) / 1024
	}
	return x
}

func BenchmarkAccumulate(b *testing.B) {
	dst, src := make([]int64, DefaultSegmentElems), floats(DefaultSegmentElems)
	benchLevels(b, 4, func() { Fixed{DefaultFractionBits}.Accumulate(dst, src, 8) })
}

func BenchmarkConvert(b *testing.B) {
	src, dst := floats(DefaultSegmentElems), make([]int64, DefaultSegmentElems)
	benchLevels(b, 4, func() { Fixed{DefaultFractionBits}.Convert(dst, src, 8) })
}

func BenchmarkMeans(b *testing.B) {
	src, dst := gradient(DefaultSegmentElems), make([]float32, DefaultSegmentElems)
	mean := Fixed{DefaultFractionBits}.Means(6)
	benchLevels(b, 8, func() { mean(dst, src) })
}

// benchBF16 is a segment of results, as floats and as they travel.
func benchBF16() ([]float32, []byte) {
	x := make([]float32, DefaultSegmentElems)
	Fixed{DefaultFractionBits}.Means(6)(x, gradient(DefaultSegmentElems))
	return x, make([]byte, 2*DefaultSegmentElems)
}

func BenchmarkRoundBF16(b *testing.B) {
	x, _ := benchBF16()
	benchLevels(b, 4, func() { GatherBF16.round(x) })
}

func BenchmarkPutBF16(b *testing.B) {
	src, dst := benchBF16()
	benchLevels(b, 4, func() { GatherBF16.put(dst, src) })
}

func BenchmarkGetBF16(b *testing.B) {
	dst, src := benchBF16()
	benchLevels(b, 4, func() { GatherBF16.get(dst, src) })
}

func BenchmarkPack(b *testing.B) {
	src := gradient(DefaultSegmentElems)
	dst := make([]byte, 0, PackedBound(len(src)))
	benchLevels(b, 8, func() { dst = AppendPacked(dst[:0], src) })
}

func BenchmarkUnpackAdd(b *testing.B) {
	dst, local := make([]int64, DefaultSegmentElems), gradient(DefaultSegmentElems)
	src := AppendPacked(nil, local)
	benchLevels(b, 8, func() {
		if err := unpackAdd(dst, src, own{sums: local}); err != nil {
			b.Fatal(err)
		}
	})
}

// BenchmarkUnpackAddFromMemory takes one segment after another of a large vector, as
// a step does.
func BenchmarkUnpackAddFromMemory(b *testing.B) {
	const n = 1 << 24
	dst, local := make([]int64, DefaultSegmentElems), gradient(n)
	src := AppendPacked(nil, local[:DefaultSegmentElems])
	from := 0
	benchLevels(b, 8, func() {
		if err := unpackAdd(dst, src, own{sums: local[from : from+DefaultSegmentElems]}); err != nil {
			b.Fatal(err)
		}
		if from += DefaultSegmentElems; from+DefaultSegmentElems > n {
			from = 0
		}
	})
}

func BenchmarkAppendSum(b *testing.B) {
	local := gradient(DefaultSegmentElems)
	src := AppendPacked(nil, local)
	dst := make([]byte, 0, PackedBound(len(local)))
	benchLevels(b, 8, func() {
		if _, err := appendSum(dst, src, own{sums: local}); err != nil {
			b.Fatal(err)
		}
	})
}

// BenchmarkAllReduce is two ranks that reduce 2^20 elements, both on this machine.
func BenchmarkAllReduce(b *testing.B) {
	for _, tr := range transports() {
		for _, segment := range []int{1 << 13, DefaultSegmentElems, 1 << 17} {
			b.Run(fmt.Sprintf("%s/segment=%d", tr.name, segment), func(b *testing.B) {
				rings := newRings(b, Config{SegmentElems: segment}, tr.links(b, 2, 7))
				vs := make([]Vector, len(rings))
				for rank := range vs {
					vs[rank] = Vector{Sum: gradient(benchLen), Out: make([]float32, benchLen), Finish: Fixed{DefaultFractionBits}.Means(6)}
				}
				b.SetBytes(8 * benchLen)
				b.ReportAllocs()
				step := uint64(0)
				for b.Loop() {
					each(len(rings), func(rank int) {
						if err := rings[rank].AllReduce(context.Background(), step, vs[rank]); err != nil {
							b.Error(err)
						}
					})
					step++
				}
			})
		}
	}
}

// Results of a gradient's sums, as they travel.
func BenchmarkResults(b *testing.B) {
	const n = DefaultSegmentElems
	v, sums, values := Vector{Finish: Fixed{DefaultFractionBits}.Means(6)}, gradient(n), make([]float32, n)
	v.results(values, sums)
	room := make([]byte, 0, v.resultBound(n))
	packed := v.appendResult(room, sums, values)
	b.Logf("%.2f bits for each", 8*float64(len(packed))/n)
	b.Run("append", func(b *testing.B) {
		benchLevels(b, 4, func() { v.appendResult(room, sums, values) })
	})
	b.Run("take", func(b *testing.B) {
		benchLevels(b, 4, func() {
			if _, err := v.takeResult(values, sums, packed); err != nil {
				b.Fatal(err)
			}
		})
	})
}
