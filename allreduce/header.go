package allreduce

import (
	"encoding/binary"
	"fmt"
)

// Header begins every message of a ring. Its layout, little-endian:
//
//	0  magic "DRS" and the version, 3
//	4  run tag, 8 bytes
//	12 generation, 8 bytes
//	20 step, 8 bytes
//	28 phase, 2 bytes
//	30 hop, 2 bytes
//	32 segment's number in its chunk, 4 bytes
//	36 offset of its first element in the vector, 8 bytes
//	44 count of its elements, 4 bytes
//	48 elements of the vector, 8 bytes
//	56 lanes of the tail, 4 bytes
//	60 CRC-32C of the payload, 4 bytes
//	64 number of the bucket, 4 bytes
type Header struct {
	Run              RunTag
	Generation, Step uint64
	Phase            Phase
	// Hop is in 0 … World-2 of its phase.
	Hop uint16
	// Bucket is the part of the vector that the chunk is a part of.
	Bucket uint32
	// Segment is the message's place in its chunk.
	Segment uint32
	// Offset and Count are the elements of the vector that it carries.
	Offset uint64
	Count  uint32
	// Elems and TailLanes are the size of the sender's Vector.
	Elems     uint64
	TailLanes uint32
	// Checksum is the CRC-32C (Castagnoli) of the payload.
	Checksum uint32
}

const (
	headerBytes = 68
	headerMagic = "DRS\x03"
)

// put writes the header to the first headerBytes of dst.
func (h Header) put(dst []byte) {
	_ = dst[headerBytes-1]
	le := binary.LittleEndian
	copy(dst, headerMagic)
	copy(dst[4:], h.Run[:])
	le.PutUint64(dst[12:], h.Generation)
	le.PutUint64(dst[20:], h.Step)
	le.PutUint16(dst[28:], uint16(h.Phase))
	le.PutUint16(dst[30:], h.Hop)
	le.PutUint32(dst[32:], h.Segment)
	le.PutUint64(dst[36:], h.Offset)
	le.PutUint32(dst[44:], h.Count)
	le.PutUint64(dst[48:], h.Elems)
	le.PutUint32(dst[56:], h.TailLanes)
	le.PutUint32(dst[60:], h.Checksum)
	le.PutUint32(dst[64:], h.Bucket)
}

// parseHeader reads the header that src begins with. It judges the bytes alone,
// not whether the message has a place here.
func parseHeader(src []byte) (Header, error) {
	if len(src) < headerBytes {
		return Header{}, fmt.Errorf("%w ring message: %d bytes, its header alone has %d", ErrMalformed, len(src), headerBytes)
	}
	if string(src[:4]) != headerMagic {
		return Header{}, fmt.Errorf("%w ring message: starts with %q, want %q", ErrMalformed, src[:4], headerMagic)
	}
	le := binary.LittleEndian
	h := Header{
		Run:        RunTag(src[4:12]),
		Generation: le.Uint64(src[12:]),
		Step:       le.Uint64(src[20:]),
		Phase:      Phase(le.Uint16(src[28:])),
		Hop:        le.Uint16(src[30:]),
		Segment:    le.Uint32(src[32:]),
		Offset:     le.Uint64(src[36:]),
		Count:      le.Uint32(src[44:]),
		Elems:      le.Uint64(src[48:]),
		TailLanes:  le.Uint32(src[56:]),
		Checksum:   le.Uint32(src[60:]),
		Bucket:     le.Uint32(src[64:]),
	}
	if h.Phase < ReduceScatter || h.Phase > Doubling {
		return Header{}, fmt.Errorf("%w ring message: phase %d", ErrMalformed, uint16(h.Phase))
	}
	return h, nil
}

// fence refuses a message of another run, generation or step than this one.
func (h Header) fence(run RunTag, generation, step uint64) error {
	switch {
	case h.Run != run:
		return fmt.Errorf("%w: a message of run %s on a ring of run %s", ErrFenced, h.Run, run)
	case h.Generation != generation:
		return fmt.Errorf("%w: a message of generation %d on a ring of generation %d", ErrFenced, h.Generation, generation)
	case h.Step != step:
		return fmt.Errorf("%w: a message of step %d while this rank reduces step %d", ErrFenced, h.Step, step)
	}
	return nil
}
