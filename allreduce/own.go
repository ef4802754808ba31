package allreduce

// Term is the one term that a rank's sums would be made of, before it is rounded: who has
// but one need not keep sums beside it, of twice its size.
type Term struct {
	Values []float32
	// Fixed is what they are rounded to, and Terms as in Fixed.Accumulate: one that does
	// not fit adds nothing.
	Fixed Fixed
	Terms int
}

// own is a part of what a rank brings itself: sums, or the term that they are made of, a
// block at a time, when they are needed.
type own struct {
	sums []int64
	// term is not nil where there are no sums.
	term         []float32
	scale, limit float64
}

// own is the elements [lo, hi) of what the rank brings.
func (v Vector) own(lo, hi int) own {
	if v.Term == nil {
		return own{sums: v.Sum[lo:hi]}
	}
	return own{term: v.Term.Values[lo:hi], scale: v.Term.Fixed.scale(), limit: largest(v.Term.Terms)}
}

func (o own) len() int { return len(o.sums) + len(o.term) }

// next takes the first elements off, a block or what there is of one. Those of a term are
// made in room.
func (o *own) next(room *[blockLen]int64) (sums []int64) {
	m := min(o.len(), blockLen)
	if o.term == nil {
		sums, o.sums = o.sums[:m], o.sums[m:]
		return sums
	}
	sums = room[:m]
	convert(sums, o.term[:m], o.scale, o.limit)
	o.term = o.term[m:]
	return sums
}

// appendTo appends the sums to dst.
func (o own) appendTo(dst []int64) []int64 {
	if o.term == nil {
		return append(dst, o.sums...)
	}
	var room [blockLen]int64
	for o.len() > 0 {
		dst = append(dst, o.next(&room)...)
	}
	return dst
}
