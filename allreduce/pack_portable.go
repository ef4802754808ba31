package allreduce

import "encoding/binary"

// zigzagBlockPortable sets z to the block's values in zigzag form and returns all
// bits that any of them has.
func zigzagBlockPortable(z *[blockLen]uint64, block *[blockLen]int64) uint64 {
	var all uint64
	for i, x := range block {
		z[i] = zigzag(x)
		all |= z[i]
	}
	return all
}

// packLanesPortable writes the lanes' words of n rows of width w > 0.
func packLanesPortable(dst []byte, z *[blockLen]uint64, n int, w uint) {
	var a0, a1, a2, a3 uint64
	var fill uint
	for j := range n {
		row := z[lanes*j : lanes*j+lanes]
		z0, z1, z2, z3 := row[0], row[1], row[2], row[3]
		a0 |= z0 << (fill & 63)
		a1 |= z1 << (fill & 63)
		a2 |= z2 << (fill & 63)
		a3 |= z3 << (fill & 63)
		if fill += w; fill < 64 {
			continue
		}
		putRow(dst, a0, a1, a2, a3)
		dst = dst[rowBytes:]
		fill -= 64
		// The bits that ran over; none of a value that ended with the word.
		a0, a1, a2, a3 = z0>>(w-fill), z1>>(w-fill), z2>>(w-fill), z3>>(w-fill)
	}
	if fill > 0 {
		putRow(dst, a0, a1, a2, a3)
	}
}

func putRow(dst []byte, a0, a1, a2, a3 uint64) {
	_ = dst[rowBytes-1]
	binary.LittleEndian.PutUint64(dst[0:], a0)
	binary.LittleEndian.PutUint64(dst[8:], a1)
	binary.LittleEndian.PutUint64(dst[16:], a2)
	binary.LittleEndian.PutUint64(dst[24:], a3)
}

// unpackLanesPortable reads n rows of width w > 0 and returns what is set in the last
// words after their last values.
func unpackLanesPortable(block *[blockLen]int64, src []byte, n int, w uint) uint64 {
	mask := uint64(1)<<w - 1 // all ones for 64: Go shifts to 0
	var a0, a1, a2, a3 uint64
	used := uint(64)
	for j := range n {
		if used == 64 {
			a0, a1, a2, a3 = getRow(src)
			src, used = src[rowBytes:], 0
		}
		z0, z1, z2, z3 := a0>>(used&63), a1>>(used&63), a2>>(used&63), a3>>(used&63)
		if used+w > 64 {
			a0, a1, a2, a3 = getRow(src)
			src = src[rowBytes:]
			over := (64 - used) & 63
			z0, z1, z2, z3 = z0|a0<<over, z1|a1<<over, z2|a2<<over, z3|a3<<over
			used = used + w - 64
		} else {
			used += w
		}
		row := block[lanes*j : lanes*j+lanes]
		row[0], row[1], row[2], row[3] = unzigzag(z0&mask), unzigzag(z1&mask), unzigzag(z2&mask), unzigzag(z3&mask)
	}
	return (a0 | a1 | a2 | a3) >> used
}

// unpackAddLanesPortable reads a whole block of width w > 0 and adds local.
func unpackAddLanesPortable(block *[blockLen]int64, src []byte, local *[blockLen]int64, w uint) {
	unpackLanesPortable(block, src, allRows, w)
	for i, x := range local {
		block[i] += x
	}
}

func getRow(src []byte) (a0, a1, a2, a3 uint64) {
	_ = src[rowBytes-1]
	return binary.LittleEndian.Uint64(src[0:]), binary.LittleEndian.Uint64(src[8:]),
		binary.LittleEndian.Uint64(src[16:]), binary.LittleEndian.Uint64(src[24:])
}

// zigzag maps small magnitudes of either sign to small numbers.
func zigzag(x int64) uint64 { return uint64(x)<<1 ^ uint64(x>>63) }

func unzigzag(z uint64) int64 { return int64(z>>1) ^ -int64(z&1) }
