package worker

import "github.com/ddpm-cluster/ddpm-cluster/ddpm"

// snapshot is a member's copy of what a checkpoint takes of the state.
type snapshot struct {
	generation, step uint64
	loss             float64
	// rank and size are the member's in the generation.
	rank, size int
	// weights, m and v are the member's part of the state, ema is the whole moving
	// average.
	weights, m, v, ema []float32
}

const (
	// maxCopies and copiesBytes bound the copies that a member holds while the Store
	// is slow or away. One it may hold whatever its size.
	maxCopies   = 8
	copiesBytes = 256 << 20
)

// mostCopies is how many copies of a state of so many parameters one of size members
// holds at once.
func mostCopies(params, size int) int {
	bytes := 4 * (params + 3*(params/size+1))
	return min(max(1, copiesBytes/bytes), maxCopies)
}

// full says that a member holds as many copies as it may. Between the loop's calls it
// only ever becomes false.
func (s *saver) full(size int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.held >= mostCopies(s.run.spec.Model.ParamCount(), size)
}

// take makes room for a copy, waiting for it if need be.
func (s *saver) take(size int) *snapshot {
	most := mostCopies(s.run.spec.Model.ParamCount(), size)
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.held >= most {
		s.fewer.Wait() // what is under way ends with ctx
	}
	s.held++
	c := s.spare
	s.spare = nil
	if c == nil {
		c = new(snapshot)
	}
	return c
}

// release lets a copy go. One is kept for the next checkpoint: it is as large as most
// of a state.
func (s *saver) release(c *snapshot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held--
	s.spare = c
	s.fewer.Broadcast()
}

// part returns the range of parameters that the member writes.
func (c *snapshot) part(params int) (lo, hi int) {
	return c.rank * params / c.size, (c.rank + 1) * params / c.size
}

// copy keeps what the checkpoint takes of the state.
func (c *snapshot) copy(state *ddpm.State) {
	lo, hi := c.part(len(state.Weights))
	c.weights = append(c.weights[:0], state.Weights[lo:hi]...)
	c.m = append(c.m[:0], state.M[lo:hi]...)
	c.v = append(c.v[:0], state.V[lo:hi]...)
	c.ema = append(c.ema[:0], state.EMA...)
}
