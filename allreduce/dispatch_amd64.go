//go:build !purego

package allreduce

import (
	"hash/crc32"
	"unsafe"

	"golang.org/x/sys/cpu"

	"github.com/ddpm-cluster/ddpm-cluster/internal/cpulevel"
)

//go:generate go -C _asm run . -out ../kernel_amd64.s -stubs ../kernel_stubs_amd64.go -pkg allreduce

// The functions here run the assembly on whole vectors and whole blocks, and the
// portable code on what is left. Their arguments are as for the portable functions,
// and their callers have checked the lengths, which the assembly cannot.

// useAVX2 and useAVX512 are whether the assembly for these runs.
var (
	useAVX2   = cpulevel.Active() != cpulevel.Portable
	useAVX512 = cpulevel.Active() == cpulevel.AVX512
)

// canFold says that the CPU multiplies polynomials in vectors of AVX-512.
var canFold = cpu.X86.HasAVX512VPCLMULQDQ && cpu.X86.HasSSE42

// whole returns how many of n values the assembly takes: whole vectors of 8.
func whole(n int) int {
	if useAVX2 {
		return n &^ 7
	}
	return 0
}

// wholeBF16 is whole for bfloat16, whose assembly takes groups of 32.
func wholeBF16(n int) int {
	if useAVX2 {
		return n &^ 31
	}
	return 0
}

func accumulate(dst []int64, src []float32, scale, limit float64) bool {
	n, ok := whole(len(src)), true
	switch {
	case n == 0:
	case useAVX512:
		ok = accumulateAVX512(&dst[0], &src[0], n, scale, limit)
	default:
		ok = accumulateAVX2(&dst[0], &src[0], n, scale, limit)
	}
	return accumulatePortable(dst[n:], src[n:], scale, limit) && ok
}

// smallLimit is what convertSmallAVX2 takes.
const smallLimit = 1 << 51

func convert(dst []int64, src []float32, scale, limit float64) bool {
	n, ok := whole(len(src)), true
	switch {
	case n == 0:
	case useAVX512:
		ok = convertAVX512(&dst[0], &src[0], n, scale, limit)
	case convertSmallAVX2(&dst[0], &src[0], n, scale, min(limit, smallLimit)):
	default:
		ok = convertAVX2(&dst[0], &src[0], n, scale, limit)
	}
	return convertPortable(dst[n:], src[n:], scale, limit) && ok
}

func means(dst []float32, src []int64, resolution, terms float64) {
	n := whole(len(src))
	switch {
	case n == 0:
	case terms == 1:
		scaledAVX2(&dst[0], &src[0], n, resolution)
	default:
		meansAVX2(&dst[0], &src[0], n, resolution, terms)
	}
	meansPortable(dst[n:], src[n:], resolution, terms)
}

func add(dst, a, b []int64) {
	n := whole(len(dst))
	if n > 0 {
		addAVX2(&dst[0], &a[0], &b[0], n)
	}
	addPortable(dst[n:], a[n:], b[n:])
}

func zigzagBlock(z *[blockLen]uint64, block *[blockLen]int64) uint64 {
	switch {
	case useAVX512:
		return zigzagAVX512(&z[0], &block[0])
	case useAVX2:
		return zigzagAVX2(&z[0], &block[0])
	}
	return zigzagBlockPortable(z, block)
}

func packLanes(dst []byte, z *[blockLen]uint64, n int, w uint) {
	switch {
	case !useAVX2 || n != allRows:
		packLanesPortable(dst, z, n, w)
	case useAVX512:
		packAVX512(&dst[0], &z[0], uint64(w))
	default:
		packAVX2(&dst[0], &z[0], uint64(w))
	}
}

// A whole block fills its words, so nothing is set after its last values.
func unpackLanes(block *[blockLen]int64, src []byte, n int, w uint) uint64 {
	switch {
	case !useAVX2 || n != allRows:
		return unpackLanesPortable(block, src, n, w)
	case useAVX512:
		unpackAVX512(&block[0], &src[0], uint64(w))
	default:
		unpackAVX2(&block[0], &src[0], uint64(w))
	}
	return 0
}

func unpackAddLanes(block *[blockLen]int64, src []byte, local *[blockLen]int64, w uint) {
	switch {
	case useAVX512:
		unpackAddAVX512(&block[0], &src[0], &local[0], uint64(w))
	case useAVX2:
		unpackAddAVX2(&block[0], &src[0], &local[0], uint64(w))
	default:
		unpackAddLanesPortable(block, src, local, w)
	}
}

func roundBF16s(x []float32) {
	n := wholeBF16(len(x))
	switch {
	case n == 0:
	case useAVX512:
		roundBF16AVX512(&x[0], n)
	default:
		roundBF16AVX2(&x[0], n)
	}
	roundBF16Portable(x[n:])
}

func putBF16s(dst []byte, src []float32) {
	n := wholeBF16(len(src))
	if n > 0 {
		putBF16AVX2(&dst[0], &src[0], n)
	}
	putBF16Portable(dst[2*n:], src[n:])
}

func getBF16s(dst []float32, src []byte) {
	n := wholeBF16(len(dst))
	if n > 0 {
		getBF16AVX2(&dst[0], &src[0], n)
	}
	getBF16Portable(dst[n:], src[2*n:])
}

func magnitudes(src []float32) (least, most uint32) {
	n := whole(len(src))
	if n == 0 {
		return magnitudesPortable(src)
	}
	least, most = magnitudesAVX2(&src[0], n)
	if n < len(src) {
		l, m := magnitudesPortable(src[n:])
		least, most = min(least, l), max(most, m)
	}
	return least, most
}

func offsets(dst []uint64, src []float32, base uint64, shift uint) {
	n := whole(len(src))
	if n > 0 {
		offsetsAVX2(&dst[0], &src[0], n, base, uint64(shift))
	}
	offsetsPortable(dst[n:], src[n:], base, shift)
}

func fromOffsets(dst []float32, src []int64, base uint64, shift uint) (all uint64) {
	n := whole(len(dst))
	if n > 0 {
		all = fromOffsetsAVX2(&dst[0], &src[0], n, base, uint64(shift))
	}
	return all | fromOffsetsPortable(dst[n:], src[n:], base, shift)
}

// unpackOffsets is unpackLanes of a whole block, and fromOffsets. block is room.
func unpackOffsets(dst *[blockLen]float32, block *[blockLen]int64, src []byte, w uint, base uint64, shift uint) (all uint64) {
	if useAVX512 {
		return unpackOffsetsAVX512(&dst[0], &src[0], uint64(w), base, uint64(shift))
	}
	unpackLanes(block, src, allRows, w)
	return fromOffsets(dst[:], block[:], base, shift)
}

func castagnoli(p []byte) uint32 {
	n := 0
	if useAVX512 && canFold {
		n = len(p) &^ 255
	}
	crc := uint32(0)
	if n > 0 {
		crc = ^castagnoliAVX512(^crc, &p[0], n)
	}
	return crc32.Update(crc, castagnoliTable, p[n:])
}

// The CPU's order of bytes is the message's.
func putFloat32s(dst []byte, src []float32) { copy(dst, bytesOf(src)) }

func getFloat32s(dst []float32, src []byte) { copy(bytesOf(dst), src) }

// bytesOf is the memory of s.
func bytesOf(s []float32) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(s))), 4*len(s))
}
