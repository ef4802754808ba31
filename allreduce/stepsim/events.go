package stepsim

// event is something that happens at a time.
type event struct {
	at    float64
	order uint64 // of two at the same time, the one that was foreseen first
	kind  kind
	rank  int32
	what  message
}

type kind uint8

const (
	arrived  kind = iota // a message at a rank
	received             // a rank's receiver has done with a message
	sent                 // a rank's sender has prepared a message
	freed                // a rank's sender may go on
	computed             // a rank has computed a bucket
)

// message is a segment at a hop of a phase. own marks one that is not started yet.
type message struct {
	bucket, hop, segment int32
	gather, own          bool
}

// calendar is a heap of events by time.
type calendar struct {
	events []event
	n      uint64
}

func (c *calendar) before(i, j int) bool {
	a, b := &c.events[i], &c.events[j]
	return a.at < b.at || a.at == b.at && a.order < b.order
}

// add foresees an event.
func (c *calendar) add(e event) {
	e.order = c.n
	c.n++
	c.events = append(c.events, e)
	for i := len(c.events) - 1; i > 0; {
		up := (i - 1) / 2
		if !c.before(i, up) {
			return
		}
		c.events[i], c.events[up] = c.events[up], c.events[i]
		i = up
	}
}

// next takes the first event out.
func (c *calendar) next() event {
	first, last := c.events[0], len(c.events)-1
	c.events[0] = c.events[last]
	c.events = c.events[:last]
	for i := 0; ; {
		down := 2*i + 1
		if down >= last {
			return first
		}
		if down+1 < last && c.before(down+1, down) {
			down++
		}
		if !c.before(down, i) {
			return first
		}
		c.events[i], c.events[down] = c.events[down], c.events[i]
		i = down
	}
}
