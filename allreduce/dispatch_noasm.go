//go:build !amd64 || purego

package allreduce

import "hash/crc32"

func accumulate(dst []int64, src []float32, scale, limit float64) bool {
	return accumulatePortable(dst, src, scale, limit)
}

func convert(dst []int64, src []float32, scale, limit float64) bool {
	return convertPortable(dst, src, scale, limit)
}

func means(dst []float32, src []int64, resolution, terms float64) {
	meansPortable(dst, src, resolution, terms)
}

func add(dst, a, b []int64) { addPortable(dst, a, b) }

func zigzagBlock(z *[blockLen]uint64, block *[blockLen]int64) uint64 {
	return zigzagBlockPortable(z, block)
}

func packLanes(dst []byte, z *[blockLen]uint64, n int, w uint) { packLanesPortable(dst, z, n, w) }

func unpackLanes(block *[blockLen]int64, src []byte, n int, w uint) uint64 {
	return unpackLanesPortable(block, src, n, w)
}

func unpackAddLanes(block *[blockLen]int64, src []byte, local *[blockLen]int64, w uint) {
	unpackAddLanesPortable(block, src, local, w)
}

func roundBF16s(x []float32)                { roundBF16Portable(x) }
func putBF16s(dst []byte, src []float32)    { putBF16Portable(dst, src) }
func getBF16s(dst []float32, src []byte)    { getBF16Portable(dst, src) }
func putFloat32s(dst []byte, src []float32) { putFloat32sPortable(dst, src) }
func getFloat32s(dst []float32, src []byte) { getFloat32sPortable(dst, src) }

func magnitudes(src []float32) (least, most uint32) { return magnitudesPortable(src) }

func offsets(dst []uint64, src []float32, base uint64, shift uint) {
	offsetsPortable(dst, src, base, shift)
}

func fromOffsets(dst []float32, src []int64, base uint64, shift uint) (all uint64) {
	return fromOffsetsPortable(dst, src, base, shift)
}

func unpackOffsets(dst *[blockLen]float32, block *[blockLen]int64, src []byte, w uint, base uint64, shift uint) (all uint64) {
	unpackLanesPortable(block, src, allRows, w)
	return fromOffsetsPortable(dst[:], block[:], base, shift)
}

func castagnoli(p []byte) uint32 { return crc32.Checksum(p, castagnoliTable) }
