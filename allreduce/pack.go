package allreduce

import (
	"errors"
	"fmt"
	"math/bits"
	"slices"
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
	allRows  = blockLen / lanes
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
func AppendPacked(dst []byte, values []int64) []byte { return appendOwn(dst, own{sums: values}) }

// appendOwn appends, packed, what a rank brings itself.
func appendOwn(dst []byte, o own) []byte {
	var z [blockLen]uint64
	var room [blockLen]int64
	for o.len() >= blockLen {
		dst = packBlock(dst, &z, (*[blockLen]int64)(o.next(&room)), blockLen)
	}
	if o.len() > 0 {
		m := copy(room[:], o.next(&room))
		clear(room[m:])
		dst = packBlock(dst, &z, &room, m)
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
func unpackAdd(dst []int64, src []byte, local own) error {
	u := unpacker{src: src}
	var room [blockLen]int64
	for len(dst) >= blockLen {
		if err := u.sum((*[blockLen]int64)(dst), local.next(&room)); err != nil {
			return err
		}
		dst = dst[blockLen:]
	}
	if len(dst) > 0 {
		var block [blockLen]int64
		if err := u.sum(&block, local.next(&room)); err != nil {
			return err
		}
		copy(dst, block[:])
	}
	return u.end()
}

// appendSum appends, packed, the values packed in src plus local. It goes block by
// block, so that the values in between never leave the nearest cache.
func appendSum(dst, src []byte, local own) ([]byte, error) {
	u := unpacker{src: src}
	var block, room [blockLen]int64
	var z [blockLen]uint64
	for local.len() > 0 {
		mine := local.next(&room)
		if err := u.sum(&block, mine); err != nil {
			return dst, err
		}
		dst = packBlock(dst, &z, &block, len(mine))
	}
	return dst, u.end()
}

// packBlock appends the first m values of a block; those after them are 0. z is
// room for their zigzag forms.
func packBlock(dst []byte, z *[blockLen]uint64, block *[blockLen]int64, m int) []byte {
	w := bits.Len64(zigzagBlock(z, block))
	return appendWords(append(dst, byte(w)), z, m, w)
}

// appendWords appends the words of the first m values, of width w, whose zigzag forms are
// given.
func appendWords(dst []byte, z *[blockLen]uint64, m, w int) []byte {
	at := len(dst)
	size := packedWords(m, w) * rowBytes
	dst = slices.Grow(dst, size)[:at+size]
	if w > 0 {
		packLanes(dst[at:], z, rows(m), uint(w))
	}
	return dst
}

// unpacker reads blocks from src.
type unpacker struct{ src []byte }

// width takes a block's width from src.
func (u *unpacker) width(m int) (w int, err error) {
	if len(u.src) == 0 {
		return 0, fmt.Errorf("%w packed values: end before a block of %d", ErrMalformed, m)
	}
	w = int(u.src[0])
	if w > maxWidth {
		return 0, fmt.Errorf("%w packed values: width of %d bits, at most %d", ErrMalformed, w, maxWidth)
	}
	u.src = u.src[1:]
	return w, nil
}

// words takes the words of m values of width w from src.
func (u *unpacker) words(m, w int) ([]byte, error) {
	size := packedWords(m, w) * rowBytes
	if len(u.src) < size {
		return nil, fmt.Errorf("%w packed values: %d bytes for a block of %d that needs %d", ErrMalformed, len(u.src), m, size)
	}
	words := u.src[:size]
	u.src = u.src[size:]
	return words, nil
}

// block reads m values into the front of block and sets those after them to 0.
func (u *unpacker) block(block *[blockLen]int64, m int) error {
	w, err := u.width(m)
	if err != nil {
		return err
	}
	return u.values(block, m, w)
}

// values is block where the width is known.
func (u *unpacker) values(block *[blockLen]int64, m, w int) error {
	words, err := u.words(m, w)
	if err != nil {
		return err
	}
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

// sum reads a block as long as local, adds local to it, and sets what follows to 0.
func (u *unpacker) sum(block *[blockLen]int64, local []int64) error {
	if len(local) < blockLen {
		if err := u.block(block, len(local)); err != nil {
			return err
		}
		for i, x := range local {
			block[i] += x
		}
		return nil
	}
	w, err := u.width(blockLen)
	if err != nil {
		return err
	}
	words, err := u.words(blockLen, w)
	if err != nil {
		return err
	}
	if w == 0 {
		copy(block[:], local)
		return nil
	}
	unpackAddLanes(block, words, (*[blockLen]int64)(local), uint(w))
	return nil
}

// end refuses bytes that follow the last block.
func (u *unpacker) end() error {
	if len(u.src) > 0 {
		return fmt.Errorf("%w packed values: %d bytes too many", ErrMalformed, len(u.src))
	}
	return nil
}
