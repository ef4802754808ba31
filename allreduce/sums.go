package allreduce

// Sums is memory for a vector's sums that the other members of the host may read where it
// is: a ring of one host copies no sums that lie there. Whoever has it writes there, and
// nobody else.
type Sums struct {
	values []int64
	key    roomKey
	free   func() error
}

// NewSums makes memory for so many sums, which are 0. Systems that can't share memory have
// none: errors.ErrUnsupported.
func NewSums(elems int) (*Sums, error) { return makeSums(elems) }

// Values are the sums. They are gone after Close.
func (s *Sums) Values() []int64 { return s.values }

// Close gives the memory back. No ring may use it any more; others that still read it
// have it until they are done.
func (s *Sums) Close() error { return s.free() }

// has says that sums lie in memory of which all is vector.
func has(vector, sums []int64) bool {
	return len(sums) > 0 && len(sums) == len(vector) && &sums[0] == &vector[0]
}
