package unet

import (
	"fmt"
	"testing"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/kernel"
)

var benchNets = []struct {
	name   string
	config Config
	images int
}{
	{"ch32-16x16", Config{Size: 16, InChannels: 1, OutChannels: 1, Channels: []int{32, 64}, ResBlocks: 1, Attention: []int{8}, Groups: 8, NormEps: 1e-6}, 8},
	{"ch32-28x28", Config{Size: 28, InChannels: 1, OutChannels: 1, Channels: []int{32, 64, 64}, ResBlocks: 2, Attention: []int{7}, Groups: 8, NormEps: 1e-6}, 4},
	{"cifar10", cifar10(), 1},
}

// BenchmarkForward is a step of a sampler, per image.
func BenchmarkForward(b *testing.B) {
	for _, v := range benchNets {
		b.Run(v.name, func(b *testing.B) {
			pool := kernel.NewPool(1)
			defer pool.Close()
			net := New(v.config, pool)
			net.SetWeights(randomWeights(v.config))
			x, t := randomImages(v.config, v.images)
			b.ReportAllocs()
			for b.Loop() {
				net.Forward(x, t, Sampling())
			}
			b.ReportMetric(float64(b.N*v.images)/b.Elapsed().Seconds(), "images/s")
		})
	}
}

// BenchmarkStep is the forward and backward pass of a shard, per image.
func BenchmarkStep(b *testing.B) {
	for _, v := range benchNets {
		for _, threads := range []int{1, 2} {
			b.Run(fmt.Sprintf("%s/threads=%d", v.name, threads), func(b *testing.B) {
				pool := kernel.NewPool(threads)
				defer pool.Close()
				net := New(v.config, pool)
				net.SetWeights(randomWeights(v.config))
				x, t := randomImages(v.config, v.images)
				grad := make([]float32, v.config.ParamCount())
				b.ReportAllocs()
				for b.Loop() {
					out := net.Forward(x, t, Training(0, nil))
					net.Backward(out, grad, nil)
				}
				b.ReportMetric(float64(b.N*v.images)/b.Elapsed().Seconds(), "images/s")
			})
		}
	}
}
