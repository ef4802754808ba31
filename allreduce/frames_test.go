package allreduce

import (
	"bytes"
	"math"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"testing"

	"google.golang.org/grpc/mem"
)

// read reads a message as grpc does: in frames from the pool, save a short one, and
// without the prefix.
func read(pool mem.BufferPool, message []byte) mem.BufferSlice {
	const prefix = 5
	all := append(make([]byte, prefix), message...)
	var frames mem.BufferSlice
	for len(all) > 0 {
		n := min(len(all), wholeFrame)
		if mem.IsBelowBufferPoolingThreshold(n) {
			frames = append(frames, mem.SliceBuffer(bytes.Clone(all[:n])))
		} else {
			b := pool.Get(n)
			copy(*b, all)
			frames = append(frames, mem.NewBuffer(b, pool))
		}
		all = all[n:]
	}
	whole := frames[0]
	_, frames[0] = mem.SplitUnsafe(whole, prefix)
	whole.Free()
	return frames
}

func randomMessage(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// Messages of all sizes come whole, however many are held at once, and what is read
// later does not touch them.
func TestMessagesAreReadWhole(t *testing.T) {
	r := newRand(t)
	c := newCodec()
	frames := new(framePool)
	type held struct {
		segment *Segment
		want    []byte
	}
	var all []held
	for range 400 {
		n := 1 + r.IntN([]int{100, 2000, 40_000, 140_000, 600_000}[r.IntN(5)])
		want := randomMessage(r, n)
		data := read(frames, want)
		var s Segment
		if err := c.Unmarshal(data, &s); err != nil {
			t.Fatal(err)
		}
		data.Free()
		all = append(all, held{&s, want})
		if r.IntN(3) > 0 {
			i := r.IntN(len(all))
			h := all[i]
			if !bytes.Equal(*h.segment.buf, h.want) {
				t.Fatalf("a message of %d bytes has changed", len(h.want))
			}
			clear(*h.segment.buf) // its owner may write to it
			h.segment.Release()
			all[i] = all[len(all)-1]
			all = all[:len(all)-1]
		}
	}
	for _, h := range all {
		if !bytes.Equal(*h.segment.buf, h.want) {
			t.Fatalf("a message of %d bytes has changed", len(h.want))
		}
	}
}

// The messages of a default segment lie where they were read: as results in either
// form, and as partial sums of most widths.
func TestSegmentsAreNotCopied(t *testing.T) {
	sizes := []int{headerBytes + GatherFloat32.bytes(DefaultSegmentElems), headerBytes + GatherBF16.bytes(DefaultSegmentElems)}
	for w := 30; w <= 36; w++ {
		if n := headerBytes + DefaultSegmentElems/blockLen*(1+rowBytes*w); (n+5)%wholeFrame > 1<<10 {
			sizes = append(sizes, n)
		}
	}
	frames := new(framePool)
	for range 3 {
		for _, n := range sizes {
			data := read(frames, make([]byte, n))
			s, ok := join(data)
			if !ok {
				t.Fatalf("a message of %d bytes would be copied", n)
			}
			if &(*s.buf)[0] != &data[0].ReadOnlyData()[0] {
				t.Errorf("a message of %d bytes lies elsewhere", n)
			}
			data.Free()
			s.Release()
		}
	}
	if n := len(frames.free); n > 1 {
		t.Errorf("%d slabs for one message at a time", n+1)
	}
}

// Frames that another connection's come between are copied.
func TestInterleavedMessagesAreCopied(t *testing.T) {
	r := newRand(t)
	frames, c := new(framePool), newCodec()
	want := randomMessage(r, 3*wholeFrame)
	var data mem.BufferSlice
	for i := 0; i < len(want); i += wholeFrame {
		b := frames.Get(wholeFrame)
		copy(*b, want[i:])
		data = append(data, mem.NewBuffer(b, frames))
		frames.Put(frames.Get(5000))
	}
	var s Segment
	if err := c.Unmarshal(data, &s); err != nil || !bytes.Equal(*s.buf, want) {
		t.Errorf("the message has changed (%v)", err)
	}
	data.Free()
	s.Release()
}

// What is kept outlives a garbage collection, so that no page is asked for twice.
func TestPoolsSurviveGarbageCollection(t *testing.T) {
	for name, pool := range map[string]mem.BufferPool{"buffers": new(bufferPool), "frames": new(framePool)} {
		b := pool.Get(10_000)
		first := &(*b)[0]
		pool.Put(b)
		runtime.GC()
		runtime.GC()
		if b = pool.Get(10_000); &(*b)[0] != first {
			t.Errorf("%s: a new buffer where one was free", name)
		}
	}
}

// A pool keeps a bounded number of buffers, however many were out at once.
func TestBufferPoolIsBounded(t *testing.T) {
	pool := new(bufferPool)
	var out []*[]byte
	for range keptBytes/slabBytes + 5 {
		out = append(out, pool.Get(slabBytes))
	}
	for _, b := range out {
		pool.Put(b)
	}
	kept := 0
	for _, class := range pool.classes {
		kept += len(class)
	}
	if kept != keptBytes/slabBytes {
		t.Errorf("%d buffers are kept, want %d", kept, keptBytes/slabBytes)
	}
}

// A step over gRPC allocates little beside what it sends: no buffer is made anew. A
// step in which more is under way than ever before makes some, so the least counts.
func TestSteadyStepAllocatesLittle(t *testing.T) {
	if raceDetector {
		t.Skip("under the race detector, pools forget")
	}
	const segments, messages = 40, 2 * 40 * 2 // of both ranks, received and sent
	rings := newRings(t, Config{}, newCluster(t, 2).connect(t, 7, insecureCredentials()))
	vs := randomVectors(newRand(t), 2, segments*DefaultSegmentElems, 0)
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	least := uint64(math.MaxUint64)
	for step := range uint64(10) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		each(2, func(rank int) {
			if err := rings[rank].AllReduce(testContext(t), step, vs[rank]); err != nil {
				t.Error(err)
			}
		})
		runtime.ReadMemStats(&after)
		least = min(least, (after.TotalAlloc-before.TotalAlloc)/messages)
	}
	if least > 4<<10 {
		t.Errorf("%d bytes allocated for each message", least)
	}
	t.Logf("%d bytes allocated for each message", least)
}
