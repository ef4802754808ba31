package allreduce

import (
	"sync"
	"unsafe"

	"google.golang.org/grpc/mem"
)

const (
	// slabBytes is the memory that frames are read into: a segment's, and more.
	slabBytes = 256 << 10
	// slabFrames is how many frames share it at most.
	slabFrames = 32
	// keptSlabs bounds the slabs that are kept for reuse.
	keptSlabs = keptBytes / slabBytes
	// wholeFrame is the largest frame of grpc-go: a shorter one ends a message.
	wholeFrame = 16 << 10
)

// framePool is what grpc reads the frames of HTTP/2 into. It hands out memory in
// order, so that the frames of a message lie one behind the other, and a message is
// whole where it was read: see join. Connections that read at the same time from one
// server come between each other's frames, and cost a copy, nothing else.
type framePool struct {
	mu sync.Mutex
	// at is the slab that is being filled, nil at first.
	at   *slab
	free []*slab
	// message is the bytes of the current message, last those of the one before.
	message, last int
}

// slab is memory for frames. All of it is its framePool's, under its mutex.
type slab struct {
	memory []byte
	frames [slabFrames]frame
	// used are the bytes and given the frames that were handed out, and out how many
	// of these have not come back.
	used, given, out int
}

// frame is a buffer handed out. Invariant: grpc knows it by the address of buf, which
// is its own.
type frame struct {
	buf  []byte
	slab *slab // nil for memory that nobody wants back
}

// Get returns a buffer of n bytes with undefined contents. Its capacity goes to the
// end of its slab.
func (p *framePool) Get(n int) *[]byte {
	if n > slabBytes {
		return &(&frame{buf: make([]byte, n)}).buf
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.room(n)
	f := &s.frames[s.given]
	f.buf, f.slab = s.memory[s.used:s.used+n], s
	s.used += n
	s.given++
	s.out++
	p.message += n
	if n < wholeFrame {
		p.message, p.last = 0, p.message
	}
	return &f.buf
}

// room is a slab with room for a frame of n bytes, and for a message like the last
// where one begins.
func (p *framePool) room(n int) *slab {
	want := n
	if p.message == 0 {
		want = min(max(n, p.last), slabBytes)
	}
	if p.at != nil && p.at.used+want <= slabBytes && p.at.given < slabFrames {
		return p.at
	}
	if p.at != nil && p.at.out == 0 {
		p.keep(p.at)
	}
	if last := len(p.free) - 1; last >= 0 {
		p.at, p.free = p.free[last], p.free[:last]
	} else {
		p.at = &slab{memory: make([]byte, slabBytes)}
	}
	return p.at
}

// Put takes back a buffer that Get returned.
func (p *framePool) Put(b *[]byte) {
	f := (*frame)(unsafe.Pointer(b))
	if f.slab == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	s := f.slab
	s.out--
	switch {
	case s.out > 0:
	case s != p.at:
		p.keep(s)
	case p.message == 0:
		s.used, s.given = 0, 0
	}
}

// keep puts away a slab of which nothing is out.
func (p *framePool) keep(s *slab) {
	s.used, s.given = 0, 0
	if len(p.free) < keptSlabs {
		p.free = append(p.free, s)
	}
}

// joined is a message that lies where its frames were read. It is the mem.BufferPool
// of its own buffer: who returns that lets the frames go.
type joined struct {
	mem.NopBufferPool
	buf    []byte
	frames mem.BufferSlice
}

// Put lets the frames go.
func (j *joined) Put(*[]byte) { j.frames.Free() }

// join makes a segment of the frames of a message, without a copy where they lie one
// behind the other, and holds on to them then. Nobody else has them, so that the
// segment may be written to.
func join(frames mem.BufferSlice) (*Segment, bool) {
	n := frames.Len()
	if len(frames) == 0 || mem.IsBelowBufferPoolingThreshold(n) { // grpc would not return it
		return nil, false
	}
	whole := frames[0].ReadOnlyData()
	if cap(whole) < n {
		return nil, false
	}
	at := len(whole)
	whole = whole[:n:n]
	for _, f := range frames[1:] {
		data := f.ReadOnlyData()
		if len(data) > 0 && &data[0] != &whole[at] {
			return nil, false
		}
		at += len(data)
	}
	frames.Ref()
	j := &joined{buf: whole, frames: frames}
	return &Segment{buf: &j.buf, pool: j}, true
}
