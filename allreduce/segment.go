package allreduce

import (
	"fmt"
	"hash/crc32"

	"google.golang.org/grpc/mem"
)

// Segment is one message between neighbours: a Header and a payload in one pooled
// buffer. It has one owner at a time: Link.Send takes it over, Link.Recv gives it
// away.
type Segment struct {
	buf  *[]byte
	pool mem.BufferPool
}

// newSegment takes a buffer of n bytes, whose contents are undefined, from pool.
func newSegment(pool mem.BufferPool, n int) *Segment {
	return &Segment{buf: pool.Get(n), pool: pool}
}

// Len is how many bytes the message has.
func (s *Segment) Len() int { return len(*s.buf) }

// Header reads the segment's header.
func (s *Segment) Header() (Header, error) { return parseHeader(*s.buf) }

// SetHeader overwrites the segment's header.
func (s *Segment) SetHeader(h Header) { h.put(*s.buf) }

// Release returns the buffer to its pool. The segment must not be used again.
func (s *Segment) Release() {
	s.pool.Put(s.buf)
	s.buf = nil
}

// payload is what follows the header.
func (s *Segment) payload() []byte { return (*s.buf)[headerBytes:] }

// seal completes a message: its payload is written, its header is h.
func (s *Segment) seal(h Header) {
	h.Checksum = castagnoli(s.payload())
	s.SetHeader(h)
}

// verify refuses a payload that is not the one that was sealed.
func (s *Segment) verify(h Header) error {
	if sum := castagnoli(s.payload()); sum != h.Checksum {
		return fmt.Errorf("%w ring message: CRC-32C of its payload is %08x, its header says %08x", ErrMalformed, sum, h.Checksum)
	}
	return nil
}

var castagnoliTable = crc32.MakeTable(crc32.Castagnoli)
