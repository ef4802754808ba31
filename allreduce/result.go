package allreduce

import (
	"encoding/binary"
	"fmt"
	"math/bits"
)

const (
	// offsetBlock is the bit of a block's head that tells offsets from sums.
	offsetBlock = 0x80
	baseBytes   = 4
)

// appendResult appends a segment's results to dst: in blocks or, where those are not
// shorter, as plain values (Gather). The length tells them apart. sums are the complete
// sums that the results were made of, nil where they are not known.
//
// A block of 256 results, the last one possibly shorter, takes the shorter of two forms.
//
//   - The block of the packed sums (AppendPacked): every rank makes the same values of the
//     sums as their owner did.
//   - Offsets. The values of a block are of a few sizes, so that the bits of their
//     magnitudes (all but the sign, for bfloat16 those of its half) are not far from each
//     other: a byte with 128 plus the width w; the least magnitude, 4 bytes, little-endian;
//     then, as the zigzag forms of a packed block of width w, twice what each magnitude is
//     above it, plus 1 for those whose sign is set.
func (v Vector) appendResult(dst []byte, sums []int64, result []float32) []byte {
	b := dst
	var room resultRoom
	for at := 0; at < len(result); at += blockLen {
		end := min(at+blockLen, len(result))
		var known []int64
		if sums != nil {
			known = sums[at:end]
		}
		b = v.appendBlock(b, &room, known, result[at:end])
	}
	plain := v.Gather.bytes(len(result))
	if len(b)-len(dst) < plain {
		return b
	}
	b = dst[:len(dst)+plain]
	v.Gather.put(b[len(dst):], result)
	return b
}

// resultBound is the most bytes that appendResult appends to n results, on the way too.
func (v Vector) resultBound(n int) int {
	bound := n / blockLen * (1 + baseBytes + packedWords(blockLen, v.Gather.width())*rowBytes)
	if rest := n % blockLen; rest > 0 {
		bound += 1 + baseBytes + packedWords(rest, v.Gather.width())*rowBytes
	}
	return bound
}

// resultRoom is what appendBlock needs room for: sums, and zigzag forms.
type resultRoom struct {
	block [blockLen]int64
	z     [blockLen]uint64
}

// appendBlock appends a block's results in the shorter form.
func (v Vector) appendBlock(dst []byte, room *resultRoom, sums []int64, result []float32) []byte {
	m, shift := len(result), v.Gather.shift()
	least, most := magnitudes(result)
	least, most = least>>shift, most>>shift
	w := bits.Len32(most-least) + 1 // with the sign
	if longest := baseBytes + packedWords(m, w)*rowBytes; sums != nil && packedWords(m, someWidth(sums))*rowBytes <= longest {
		whole := &room.block
		if m == blockLen {
			whole = (*[blockLen]int64)(sums)
		} else {
			clear(whole[copy(whole[:], sums):])
		}
		narrow := bits.Len64(zigzagBlock(&room.z, whole))
		if packedWords(m, narrow)*rowBytes <= longest {
			return appendWords(append(dst, byte(narrow)), &room.z, m, narrow)
		}
	}
	offsets(room.z[:m], result, uint64(least), shift)
	clear(room.z[m:])
	dst = binary.LittleEndian.AppendUint32(append(dst, offsetBlock|byte(w)), least)
	return appendWords(dst, &room.z, m, w)
}

// someWidth is the width of some of a block's sums: all of them have no less.
func someWidth(sums []int64) int {
	var some uint64
	for at := 0; at < len(sums); at += blockLen / 16 {
		some |= zigzag(sums[at])
	}
	return bits.Len64(some)
}

// takeResult reads what appendResult wrote, which must be as many results as dst takes.
// Where all of them came as sums, these are in sums then, and summed is true; otherwise
// sums has no defined contents. It is as long as dst.
func (v Vector) takeResult(dst []float32, sums []int64, src []byte) (summed bool, err error) {
	switch plain := v.Gather.bytes(len(dst)); {
	case len(src) > plain:
		return false, fmt.Errorf("%w ring message: %d bytes for %d results", ErrMalformed, len(src), len(dst))
	case len(src) == plain:
		v.Gather.get(dst, src)
		return len(dst) == 0, nil
	}
	u := unpacker{src: src}
	var block [blockLen]int64
	summed = true
	for at := 0; at < len(dst); at += blockLen {
		end := min(at+blockLen, len(dst))
		as, err := v.takeBlock(&u, &block, dst[at:end], sums[at:end])
		if err != nil {
			return false, fmt.Errorf("results %d to %d of the segment: %w", at, end-1, err)
		}
		summed = summed && as
	}
	if err := u.end(); err != nil {
		return false, fmt.Errorf("after all %d results of the segment: %w", len(dst), err)
	}
	return summed, nil
}

// takeBlock reads a block of results, and its sums if it has those. block is room.
func (v Vector) takeBlock(u *unpacker, block *[blockLen]int64, dst []float32, sums []int64) (summed bool, err error) {
	m := len(dst)
	if len(u.src) > 0 && u.src[0]&offsetBlock != 0 {
		return false, v.takeOffsets(u, block, dst)
	}
	if m == blockLen {
		err = u.block((*[blockLen]int64)(sums), m)
	} else {
		err = u.block(block, m)
		copy(sums, block[:])
	}
	if err != nil {
		return false, err
	}
	v.results(dst, sums)
	return true, nil
}

// takeOffsets reads a block of offsets. block is room for them.
func (v Vector) takeOffsets(u *unpacker, block *[blockLen]int64, dst []float32) error {
	if len(u.src) < 1+baseBytes {
		return fmt.Errorf("%w offsets: %d bytes for the head of a block", ErrMalformed, len(u.src))
	}
	w, least := int(u.src[0]&^offsetBlock), binary.LittleEndian.Uint32(u.src[1:])
	if w > v.Gather.width() {
		return fmt.Errorf("%w offsets: %d bits each, at most %d", ErrMalformed, w, v.Gather.width())
	}
	u.src = u.src[1+baseBytes:]
	base, shift := uint64(least), v.Gather.shift()
	var all uint64
	if len(dst) == blockLen && w > 0 {
		words, err := u.words(blockLen, w)
		if err != nil {
			return err
		}
		all = unpackOffsets((*[blockLen]float32)(dst), block, words, uint(w), base, shift)
	} else {
		if err := u.values(block, len(dst), w); err != nil {
			return err
		}
		all = fromOffsets(dst, block[:len(dst)], base, shift)
	}
	if all >= 1<<(v.Gather.width()-1) {
		return fmt.Errorf("%w offsets: a block from %08x has a value that is none", ErrMalformed, least)
	}
	return nil
}
