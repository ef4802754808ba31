package rng

import (
	"testing"

	"github.com/ddpm-cluster/ddpm-cluster/internal/cpulevel"
)

// benchLevels runs a benchmark of one CIFAR-10 image's elements at every level.
func benchLevels(b *testing.B, run func(dst []float32)) {
	dst := make([]float32, 3*32*32)
	for _, l := range cpulevel.Available() {
		b.Run(string(l), func(b *testing.B) {
			setLevel(b, l)
			for b.Loop() {
				run(dst)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(dst)), "ns/value")
		})
	}
}

func BenchmarkNormals(b *testing.B) {
	benchLevels(b, func(dst []float32) { Normals(dst, 1, Noise, 2, 3) })
}

func BenchmarkUniforms(b *testing.B) {
	benchLevels(b, func(dst []float32) { Uniforms(dst, 0.5, 1, Init, 2, 3) })
}

func BenchmarkMasks(b *testing.B) {
	masks := make([]uint8, 3*32*32/4)
	benchLevels(b, func([]float32) { Masks(masks, 1<<28, 1, Dropout, 2, 3, 0) })
}
