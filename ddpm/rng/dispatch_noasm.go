//go:build !amd64 || purego

package rng

func normals(dst []float32, seed uint64, ctr [4]uint32) { normalsPortable(dst, seed, ctr) }

func uniforms(dst []float32, a float64, seed uint64, ctr [4]uint32) {
	uniformsPortable(dst, a, seed, ctr)
}

func masks(dst []uint8, threshold uint32, seed uint64, ctr [4]uint32) {
	masksPortable(dst, threshold, seed, ctr)
}
