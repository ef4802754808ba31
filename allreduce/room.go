package allreduce

import (
	"crypto/rand"
	"encoding/hex"
	"os"
	"sync/atomic"
	"unsafe"
)

// Sizes of a room. All members of a ring use the same, since they are one program's.
const (
	// pieceElems is how many elements of the vector are reduced at a time: what
	// all ranks put of it is in the processor's caches still when it is added.
	pieceElems = 1 << 16
	// roomPieces is how many pieces a room holds, so that a rank need not wait for
	// the slowest in each.
	roomPieces = 4
)

// room is memory in which one rank lays what the others of its host take: its sums of
// a few pieces, unless they can read these where they are, and the results that it made of
// them. Only its owner writes there, the bell aside.
//
// A counter is of the pieces since the ring began, and says that of so many the
// contents are there, or have been taken. It is set after them and read before them,
// which makes them visible.
type room struct {
	// bell is rung, that is counted up, by whoever has changed a counter that the
	// owner may wait for; asleep says that the owner has to be woken then.
	bell, asleep *uint32
	// put counts the pieces whose sums are there, added those of which the owner has added
	// up its own chunk, made those whose results of it are there, and taken those of which
	// the owner has all results.
	put, added, made, taken *uint32
	// step, elems and lanes are what the owner reduces, from its first put on; inPlace is 1
	// where its sums are read in vector, and not laid.
	step, elems, lanes, inPlace *uint64
	// vector is the memory of the owner's Sums, nil if it has none.
	vector []int64
	// tail is there with the sums of a step's last piece, totals with its results, of the
	// host's first rank.
	tail    []int64
	totals  []int64
	sums    []int64
	results []float32

	unmap func()
}

// line keeps counters apart that different processors write.
const line = 64

// The parts of a room after the bell, which has a page of its own.
const (
	counterBytes = 8 * line
	tailBytes    = 8 * MaxTailLanes
	sumBytes     = 8 * roomPieces * pieceElems
	resultBytes  = 4 * roomPieces * pieceElems
)

// roomBytes are the sizes of a room's two parts: the bell's page, and the rest.
func roomBytes() (bell, rest int) {
	page := os.Getpagesize()
	return page, (counterBytes + 2*tailBytes + sumBytes + resultBytes + page - 1) / page * page
}

// newRoom lays a room out in two mappings. Both begin with a page.
func newRoom(bell, rest []byte, unmap func()) *room {
	word := func(i int) *uint32 { return (*uint32)(unsafe.Pointer(&rest[i*line])) }
	long := func(i int) *uint64 { return (*uint64)(unsafe.Pointer(&rest[i*line])) }
	at := func(offset int) unsafe.Pointer { return unsafe.Pointer(&rest[offset]) }
	return &room{
		bell: (*uint32)(unsafe.Pointer(&bell[0])), asleep: (*uint32)(unsafe.Pointer(&bell[line])),
		put: word(0), added: word(1), made: word(2), taken: word(3), step: long(4), elems: long(5), lanes: long(6), inPlace: long(7),
		tail:    unsafe.Slice((*int64)(at(counterBytes)), MaxTailLanes),
		totals:  unsafe.Slice((*int64)(at(counterBytes+tailBytes)), MaxTailLanes),
		sums:    unsafe.Slice((*int64)(at(counterBytes+2*tailBytes)), roomPieces*pieceElems),
		results: unsafe.Slice((*float32)(at(counterBytes+2*tailBytes+sumBytes)), roomPieces*pieceElems),
		unmap:   unmap,
	}
}

// pieceSums is the place for the sums of a piece.
func (r *room) pieceSums(piece uint32) []int64 {
	return r.sums[piece%roomPieces*pieceElems:][:pieceElems]
}

// sumsOf are the owner's sums of elements [lo, hi), of a piece that it has put. All ranks
// reduce vectors of one length.
func (r *room) sumsOf(p schedule, piece uint32, lo, hi int) []int64 {
	if atomic.LoadUint64(r.inPlace) != 0 {
		return r.vector[lo:hi]
	}
	return r.pieceSums(piece)[lo-p.at : hi-p.at]
}

// pieceResults is the place for the results of a piece, of which the owner fills its
// chunk.
func (r *room) pieceResults(piece uint32) []float32 {
	return r.results[piece%roomPieces*pieceElems:][:pieceElems]
}

// ring wakes the owner, if it sleeps.
func (r *room) ring() {
	atomic.AddUint32(r.bell, 1)
	if atomic.LoadUint32(r.asleep) != 0 {
		wake(r.bell)
	}
}

// sleep waits until the bell is rung, unless it has been since it was heard, or for a
// moment.
func (r *room) sleep(heard uint32) {
	atomic.StoreUint32(r.asleep, 1)
	if atomic.LoadUint32(r.bell) == heard {
		sleepOn(r.bell, heard)
	}
	atomic.StoreUint32(r.asleep, 0)
}

// roomKey says where a process has made a room, or Sums: the others find it there.
type roomKey struct {
	pid, descriptor uint32
	// name is one that no other has.
	name [16]byte
}

func newRoomName() (name [16]byte) {
	_, _ = rand.Read(name[:]) // it never fails
	return name
}

// file is the room's name as the system shows it.
func (k roomKey) file() string { return "ddpm-ring-" + hex.EncodeToString(k.name[:]) }
