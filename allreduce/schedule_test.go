package allreduce

import "testing"

// Chunks and segments must cut the vector into equal parts, without a gap.
func TestChunksAndSegmentsCoverTheVector(t *testing.T) {
	for world := 1; world <= 9; world++ {
		for n := 0; n <= 50; n++ {
			for _, size := range []int{1, 2, 7, 100} {
				s := schedule{world: world, elems: n, segmentElems: size}
				at := 0
				for c := range world {
					chunk := s.chunk(c)
					if chunk.lo != at || chunk.len() < n/world || chunk.len() > n/world+1 {
						t.Fatalf("world %d, %d elements: chunk %d is %v", world, n, c, chunk)
					}
					for i := range s.segments(c) {
						seg := s.segment(c, i)
						if seg.lo != at || seg.len() > size || (seg.len() == 0 && chunk.len() > 0) {
							t.Fatalf("world %d, %d elements, size %d: segment %d of chunk %d is %v", world, n, size, i, c, seg)
						}
						at = seg.hi
					}
					if at != chunk.hi {
						t.Fatalf("world %d, %d elements, size %d: chunk %d ends at %d, its segments at %d", world, n, size, c, chunk.hi, at)
					}
				}
				if at != n {
					t.Fatalf("world %d, %d elements: chunks end at %d", world, n, at)
				}
			}
		}
	}
}

// Buckets cut the vector from its end, and a bucket's chunks lie in it.
func TestBucketsCoverTheVector(t *testing.T) {
	for n := 0; n <= 50; n++ {
		for _, size := range []int{1, 2, 7, 50, 100} {
			at := n
			for i := range buckets(n, size) {
				b := bucket(n, size, i)
				if b.hi != at || b.len() > size || (b.len() == 0 && n > 0) {
					t.Fatalf("%d elements, size %d: bucket %d is %v", n, size, i, b)
				}
				at = b.lo
				s := schedule{world: 3, at: b.lo, elems: b.len()}
				if s.chunk(0).lo != b.lo || s.chunk(2).hi != b.hi {
					t.Fatalf("bucket %v has chunks from %v to %v", b, s.chunk(0), s.chunk(2))
				}
			}
			if at != 0 {
				t.Fatalf("%d elements, size %d: buckets end at %d", n, size, at)
			}
		}
	}
}

// Run the schedule of all ranks on sets: which ranks' values a chunk holds.
func TestScheduleBringsEveryChunkToEveryRank(t *testing.T) {
	for world := 1; world <= 9; world++ {
		ranks := make([]schedule, world)
		partial := make([][]uint, world) // of rank and chunk: bits of the ranks summed
		results := make([][]bool, world)
		for r := range ranks {
			ranks[r] = schedule{world: world, rank: r}
			partial[r], results[r] = make([]uint, world), make([]bool, world)
			for c := range world {
				partial[r][c] = 1 << r
			}
		}
		for hop := range world - 1 {
			sent := make([]uint, world)
			for r, s := range ranks {
				sent[r] = partial[r][s.sends(ReduceScatter, hop)]
			}
			for r, s := range ranks {
				before := (r + world - 1) % world
				c := s.receives(ReduceScatter, hop)
				if c != ranks[before].sends(ReduceScatter, hop) {
					t.Fatalf("world %d, hop %d: rank %d expects chunk %d, rank %d sends %d", world, hop, r, c, before, ranks[before].sends(ReduceScatter, hop))
				}
				if partial[r][c]&sent[before] != 0 {
					t.Fatalf("world %d, hop %d: chunk %d at rank %d counts a rank twice", world, hop, c, r)
				}
				partial[r][c] |= sent[before]
			}
		}
		for r := range ranks {
			if partial[r][r] != 1<<world-1 {
				t.Fatalf("world %d: rank %d owns the sum of ranks %b", world, r, partial[r][r])
			}
			results[r][r] = true
		}
		for hop := range world - 1 {
			for r, s := range ranks {
				if c := s.sends(AllGather, hop); !results[r][c] {
					t.Fatalf("world %d, hop %d: rank %d sends chunk %d, which it does not have", world, hop, r, c)
				}
			}
			for r, s := range ranks {
				before := (r + world - 1) % world
				c := s.receives(AllGather, hop)
				if c != ranks[before].sends(AllGather, hop) || results[r][c] {
					t.Fatalf("world %d, hop %d: rank %d receives chunk %d in vain", world, hop, r, c)
				}
				results[r][c] = true
			}
		}
		for r := range ranks {
			for c, has := range results[r] {
				if !has {
					t.Fatalf("world %d: rank %d ends without chunk %d", world, r, c)
				}
			}
		}
	}
}

// What a rank sends at a hop after the first it has received at the hop before.
func TestScheduleSendsOnWhatItReceived(t *testing.T) {
	for world := 2; world <= 9; world++ {
		for rank := range world {
			s := schedule{world: world, rank: rank}
			for _, p := range []Phase{ReduceScatter, AllGather} {
				for hop := 1; hop < s.hops(); hop++ {
					if s.sends(p, hop) != s.receives(p, hop-1) {
						t.Errorf("world %d, rank %d: %v hop %d sends chunk %d, received %d", world, rank, p, hop, s.sends(p, hop), s.receives(p, hop-1))
					}
				}
			}
			if last := s.receives(ReduceScatter, s.hops()-1); last != rank || s.sends(AllGather, 0) != rank {
				t.Errorf("world %d: rank %d completes chunk %d", world, rank, last)
			}
			if s.receives(AllGather, 0) != s.sends(ReduceScatter, 0) {
				t.Errorf("world %d: rank %d: its own segments do not come back first", world, rank)
			}
		}
	}
}

func TestMessagesSentAreReceived(t *testing.T) {
	for world := 1; world <= 9; world++ {
		for n := 0; n <= 50; n++ {
			for rank := range world {
				s := schedule{world: world, rank: rank, elems: n, segmentElems: 3}
				next := s
				next.rank = (rank + 1) % world
				sent, _ := s.messages()
				_, received := next.messages()
				if sent != received || sent < 2*s.hops() {
					t.Fatalf("world %d, %d elements: rank %d sends %d messages, the next receives %d", world, n, rank, sent, received)
				}
			}
		}
	}
}
