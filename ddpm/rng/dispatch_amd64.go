//go:build !purego

package rng

import "github.com/ddpm-cluster/ddpm-cluster/internal/cpulevel"

//go:generate go -C _asm run . -out ../kernel_amd64.s -stubs ../kernel_stubs_amd64.go -pkg rng

// The functions here run the assembly on whole vectors of blocks and the portable
// code on what is left.

// useAVX2 and useAVX512 are whether the assembly for these runs.
var (
	useAVX2   = cpulevel.Active() != cpulevel.Portable
	useAVX512 = cpulevel.Active() == cpulevel.AVX512
)

// vectors returns how many vectors the assembly makes of whole blocks, and how many
// blocks that is.
func vectors(blocks int) (vectors, done int) {
	switch {
	case useAVX512:
		return blocks / 8, blocks &^ 7
	case useAVX2:
		return blocks / 4, blocks &^ 3
	}
	return 0, 0
}

func normals(dst []float32, seed uint64, ctr [4]uint32) {
	n, done := vectors(len(dst) / 4)
	switch {
	case n == 0:
	case useAVX512:
		normalsAVX512(&dst[0], n, seed, &ctr)
	default:
		normalsAVX2(&dst[0], n, seed, &ctr)
	}
	ctr[0] += uint32(done)
	normalsPortable(dst[4*done:], seed, ctr)
}

func uniforms(dst []float32, a float64, seed uint64, ctr [4]uint32) {
	n, done := vectors(len(dst) / 4)
	switch {
	case n == 0:
	case useAVX512:
		uniformsAVX512(&dst[0], n, seed, &ctr, a)
	default:
		uniformsAVX2(&dst[0], n, seed, &ctr, a)
	}
	ctr[0] += uint32(done)
	uniformsPortable(dst[4*done:], a, seed, ctr)
}

func masks(dst []uint8, threshold uint32, seed uint64, ctr [4]uint32) {
	n, done := vectors(len(dst))
	switch {
	case n == 0:
	case useAVX512:
		masksAVX512(&dst[0], n, seed, &ctr, uint64(threshold))
	default:
		masksAVX2(&dst[0], n, seed, &ctr, uint64(threshold))
	}
	ctr[0] += uint32(done)
	masksPortable(dst[done:], threshold, seed, ctr)
}
