package allreduce

import (
	"math/bits"
	"sync"
)

// keptBytes bounds what a bufferPool keeps of each class: as many segments as are
// under way on a rank in the usual case, and more.
const keptBytes = 16 << 20

// bufferPool keeps buffers for reuse, in classes of a power of two. Unlike grpc's
// pools it hands them out as they are: every byte of a message is written anyway.
// It is a mem.BufferPool, so that grpc returns a buffer when it has left.
//
// It is a list and no sync.Pool, which the garbage collector empties: the kernel
// would have to bring the pages of new buffers in again. The buffer that came back
// last goes out first, while a cache may still hold it.
type bufferPool struct {
	mu      sync.Mutex
	classes [bits.UintSize][]*[]byte
}

// Get returns a buffer of n bytes with undefined contents.
func (p *bufferPool) Get(n int) *[]byte {
	class := bits.Len(uint(max(n, 1) - 1))
	if b := p.take(class); b != nil {
		*b = (*b)[:n]
		return b
	}
	b := make([]byte, n, 1<<class)
	return &b
}

func (p *bufferPool) take(class int) *[]byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	free := p.classes[class]
	if len(free) == 0 {
		return nil
	}
	last := len(free) - 1
	b := free[last]
	free[last], p.classes[class] = nil, free[:last]
	return b
}

// Put takes back a buffer that Get returned.
func (p *bufferPool) Put(b *[]byte) {
	class := bits.Len(uint(cap(*b) - 1))
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.classes[class]) < max(keptBytes>>class, 1) {
		p.classes[class] = append(p.classes[class], b)
	}
}
