package allreduce

import "time"

// busy tells how long buckets were on their way before the last was released. Only
// people read it.
type busy struct {
	// left counts the messages of each bucket that have not been taken.
	left []int
	// under are the buckets that were opened and have messages left; since is when
	// the first of them was.
	under  int
	since  time.Time
	hidden time.Duration
	over   bool
}

// opened begins a bucket.
func (b *busy) opened(last bool) {
	if b.over = last; last && b.under > 0 {
		b.hidden += time.Since(b.since)
	}
	if b.under == 0 {
		b.since = time.Now()
	}
	b.under++
}

// took counts a message of an open bucket.
func (b *busy) took(bucket int) {
	b.left[bucket]--
	if b.left[bucket] > 0 {
		return
	}
	b.under--
	if b.under == 0 && !b.over {
		b.hidden += time.Since(b.since)
	}
}

// behind is for how long it was before the last was opened.
func (b *busy) behind() time.Duration { return b.hidden }
