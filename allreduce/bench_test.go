package allreduce

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
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

func BenchmarkAccumulate(b *testing.B) {
	dst, src := make([]int64, benchLen), make([]float32, benchLen)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range src {
		src[i] = float32(r.NormFloat64()) / 1024
	}
	b.SetBytes(4 * benchLen)
	for b.Loop() {
		Fixed{DefaultFractionBits}.Accumulate(dst, src, 8)
	}
}

func BenchmarkMeans(b *testing.B) {
	src, dst := gradient(benchLen), make([]float32, benchLen)
	mean := Fixed{DefaultFractionBits}.Means(6)
	b.SetBytes(8 * benchLen)
	for b.Loop() {
		mean(dst, src)
	}
}

func BenchmarkPack(b *testing.B) {
	src := gradient(benchLen)
	dst := make([]byte, 0, PackedBound(len(src)))
	b.SetBytes(8 * benchLen)
	for b.Loop() {
		dst = AppendPacked(dst[:0], src)
	}
	b.ReportMetric(float64(len(dst))/benchLen, "B/value")
}

func BenchmarkUnpack(b *testing.B) {
	dst := make([]int64, benchLen)
	src := AppendPacked(nil, gradient(benchLen))
	b.SetBytes(8 * benchLen)
	for b.Loop() {
		if err := Unpack(dst, src); err != nil {
			b.Fatal(err)
		}
	}
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
