// Package allreduce sums vectors over the members of a ring, exactly. It knows
// vectors, not what they mean.
//
// # Why the sums are integers
//
// A float sum depends on the order of its terms, and the order on how many
// members there are and which of them holds what. So every value is rounded to
// fixed point (Fixed), one by one, before any sum, a member's own included. From
// there on addition is associative and commutative, and any dealing of the same
// shards to any number of members gives the same bits. What the owner of a sum
// makes of it, say a float32 mean, is made once and copied.
//
// A value that doesn't fit (too large, NaN, infinite) adds nothing and is reported
// by Fixed.Accumulate. The caller counts such reports in the vector's tail, so
// that every member learns of them in the same all-reduce and can act alike.
//
// # The ring
//
// The members of a generation (see Member) stand in a ring: rank r sends to rank
// r+1, the last to rank 0. A vector of n elements is cut into W chunks for W
// members, as equal as can be; chunk r belongs to rank r. A step has two phases of
// W-1 hops, 2(W-1) in all:
//
//   - Reduce-scatter. At hop k rank r sends chunk r-1-k and receives chunk r-2-k
//     (numbers modulo W). A received chunk is a partial sum; the rank adds its own
//     values and sends it on at the next hop. At the last hop each rank receives
//     its own chunk, adds, and has the complete sum; Finish turns it into float32.
//   - All-gather. At hop k rank r sends chunk r-k and receives chunk r-1-k: the
//     results go once round, and each rank keeps a copy of all.
//
// So a rank sends, and receives, before packing,
//
//	8 · n · (W-1)/W bytes of sums, and 4 · n · (W-1)/W bytes of results
//
// that is, less than 12·n bytes however many members there are. The sums are
// packed without loss (AppendPacked): a block of 256 takes the bits that its
// largest value needs.
//
// # Segments
//
// Nothing waits for a whole chunk. A chunk travels as segments of SegmentElems
// elements, each a message with a Header, and each goes on as soon as it has been
// added to. The messages of one hop come in order; hops overlap.
//
// A rank starts InFlight of its own segments, and a further one each time that one
// of them comes back as a result, having passed every link. A rank never stops
// receiving because it cannot send. So buffers are bounded, by 2 · InFlight · W
// segments on a rank in the worst case and a few in the usual one, and a ring
// whose members all send at once doesn't lock up, whatever the transport holds.
//
// The tail, a few exact integers beside the vector, travels in segment 0 of chunk
// 0, as sums in the first phase and as their totals in the second, and costs no
// message of its own. An empty chunk travels as one empty segment.
//
// # Fencing
//
// Every message names its run (RunTag), generation and step. A receiver refuses
// any other than its own with ErrFenced and breaks the ring: a message from the
// past can't reach a sum. The same holds for links. Over gRPC a member opens a
// stream to its successor with a handshake (run, generation, rank, size of the
// ring), and the successor takes one stream a generation, from its predecessor
// alone, and answers with its own handshake. A stream of an older generation is
// refused. One of a newer generation is held for a while, since a neighbour may
// hear of it first; when its time comes it is taken.
//
// A receiver also refuses a message whose place in the schedule, vector length,
// tail length or checksum (CRC-32C of the payload) is not what it expects. All
// members must use one SegmentElems and one InFlight.
//
// # Failure
//
// A ring that fails is over; it is never repaired. When a link breaks, a message
// is refused, or the caller's context ends, the rank breaks both of its links at
// once, so its neighbours fail at once, and so on round the ring: AllReduce
// returns an error on every rank that has not completed the step, and every later
// call returns it too. Nothing is lost but the ring: Sum and Tail are as they
// were, and the caller brings them to the ring of the next generation.
//
// Ranks do not complete a step at the same moment, so when a ring fails some may
// have completed one step more than others, never two: a rank needs something of
// every other rank's in each step. A rank that has completed a step has sent all
// that others need of it, but a rank that then dies may take messages with it that
// were still on their way.
//
// # The caller's duties
//
//   - Ring.AllReduce is called by every member with the same step numbers in the
//     same order, one at a time, on vectors of one shape.
//   - Fixed.Accumulate is told how many terms there will be in a sum over all
//     members, and is called no more often than that for an element.
//   - A ring is closed when all of its members have what they need from it. A link
//     closed in peace lets the successor take what is on its way, for 2 seconds.
//   - A failed ring is followed by a new generation, never by the same one.
package allreduce
