package allreduce

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
)

// ErrMalformed marks bytes that are not what this package writes.
var ErrMalformed = errors.New("malformed")

// A block is the unit of packing: 256 values in 4 lanes of 64, value 4j+l being
// the j-th of lane l. Each value takes the bits that the block's largest needs, so
// a lane of 64 values at w bits fills exactly w words, and the 4 lanes are filled
// in step, which is how a vector register of 4 words would do it.
const (
	blockLen = 256
	lanes    = 4
	rowBytes = 8 * lanes
	maxWidth = 64
)

// PackedBound is the most bytes that n packed values take.
func PackedBound(n int) int {
	bound := n / blockLen * (1 + rowBytes*maxWidth)
	if rest := n % blockLen; rest > 0 {
		bound += 1 + packedWords(rest, maxWidth)*rowBytes
	}
	return bound
}

// packedWords is the words that each lane takes for m values of w bits.
func packedWords(m, w int) int { return (rows(m)*w + 63) / 64 }

// rows is the values in each lane when m values are dealt to the lanes in turn.
func rows(m int) int { return (m + lanes - 1) / lanes }

// AppendPacked appends values to dst, packed without loss.
//
// For each block of 256 values, the last one possibly shorter: a byte with the
// width w, 0 … 64, the bits of the block's largest value in zigzag form (0, -1, 1,
// -2 … become 0, 1, 2, 3 …); then the lanes' words, first word of each lane, then
// second word of each, little-endian, values from a word's low bits up, running
// over into the next word of their lane.
func AppendPacked(dst []byte, values []int64) []byte {
	for len(values) >= blockLen {
		dst = packBlock(dst, (*[blockLen]int64)(values), blockLen)
		values = values[blockLen:]
	}
	if len(values) > 0 {
		var block [blockLen]int64
		copy(block[:], values)
		dst = packBlock(dst, &block, len(values))
	}
	return dst
}

// Unpack fills dst with the values packed in src, which must hold just as many.
// Any other src is refused with ErrMalformed, and dst is left in no defined state.
func Unpack(dst []int64, src []byte) error {
	u := unpacker{src: src}
	for len(dst) >= blockLen {
		if err := u.block((*[blockLen]int64)(dst), blockLen); err != nil {
			return err
		}
		dst = dst[blockLen:]
	}
	if len(dst) > 0 {
		var block [blockLen]int64
		if err := u.block(&block, len(dst)); err != nil {
			return err
		}
		copy(dst, block[:])
	}
	return u.end()
}

// unpackAdd fills dst with the values packed in src plus local, element by
// element. All three have the same length.
func unpackAdd(dst []int64, src []byte, local []int64) error {
	if err := Unpack(dst, src); err != nil {
		return err
	}
	for i, x := range local {
		dst[i] += x
	}
	return nil
}

// appendSum appends, packed, the values packed in src plus local. It goes block by
// block, so that the values in between never leave the nearest cache.
func appendSum(dst, src []byte, local []int64) ([]byte, error) {
	u := unpacker{src: src}
	var block [blockLen]int64
	for len(local) > 0 {
		m := min(blockLen, len(local))
		if err := u.block(&block, m); err != nil {
			return dst, err
		}
		for i, x := range local[:m] {
			block[i] += x
		}
		dst = packBlock(dst, &block, m)
		local = local[m:]
	}
	return dst, u.end()
}

// packBlock appends the first m values of a block; those after them are 0.
func packBlock(dst []byte, block *[blockLen]int64, m int) []byte {
	var all uint64
	for _, x := range block {
		all |= zigzag(x)
	}
	w := bits.Len64(all)
	dst = append(dst, byte(w))
	at := len(dst)
	dst = append(dst, make([]byte, packedWords(m, w)*rowBytes)...)
	packLanes(dst[at:], block, rows(m), uint(w))
	return dst
}

// packLanes writes the lanes' words of n rows of width w.
func packLanes(dst []byte, block *[blockLen]int64, n int, w uint) {
	var a0, a1, a2, a3 uint64
	var fill uint
	for j := 0; j < n && w > 0; j++ {
		row := block[lanes*j : lanes*j+lanes]
		z0, z1, z2, z3 := zigzag(row[0]), zigzag(row[1]), zigzag(row[2]), zigzag(row[3])
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

// unpacker reads blocks from src.
type unpacker struct{ src []byte }

// block reads m values into the front of block and sets those after them to 0.
func (u *unpacker) block(block *[blockLen]int64, m int) error {
	if len(u.src) == 0 {
		return fmt.Errorf("%w packed values: end before a block of %d", ErrMalformed, m)
	}
	w := int(u.src[0])
	if w > maxWidth {
		return fmt.Errorf("%w packed values: width of %d bits, at most %d", ErrMalformed, w, maxWidth)
	}
	size := packedWords(m, w) * rowBytes
	if len(u.src)-1 < size {
		return fmt.Errorf("%w packed values: %d bytes for a block of %d that needs %d", ErrMalformed, len(u.src)-1, m, size)
	}
	words := u.src[1 : 1+size]
	u.src = u.src[1+size:]
	if w == 0 {
		clear(block[:])
		return nil
	}
	rest := unpackLanes(block, words, rows(m), uint(w))
	for _, x := range block[m : lanes*rows(m)] {
		rest |= uint64(x)
	}
	if rest != 0 {
		return fmt.Errorf("%w packed values: bits set after the last of %d values", ErrMalformed, m)
	}
	clear(block[m:])
	return nil
}

// end refuses bytes that follow the last block.
func (u *unpacker) end() error {
	if len(u.src) > 0 {
		return fmt.Errorf("%w packed values: %d bytes too many", ErrMalformed, len(u.src))
	}
	return nil
}

// unpackLanes reads n rows of width w > 0 and returns what is set in the last
// words after their last values.
func unpackLanes(block *[blockLen]int64, src []byte, n int, w uint) uint64 {
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

func getRow(src []byte) (a0, a1, a2, a3 uint64) {
	_ = src[rowBytes-1]
	return binary.LittleEndian.Uint64(src[0:]), binary.LittleEndian.Uint64(src[8:]),
		binary.LittleEndian.Uint64(src[16:]), binary.LittleEndian.Uint64(src[24:])
}

// zigzag maps small magnitudes of either sign to small numbers.
func zigzag(x int64) uint64 { return uint64(x)<<1 ^ uint64(x>>63) }

func unzigzag(z uint64) int64 { return int64(z>>1) ^ -int64(z&1) }
