package allreduce

// Route is one rank's part of a ring's schedule, for those who reckon what a step
// takes without making it: see allreduce/stepsim.
type Route struct{ schedule schedule }

// NewRoute returns the part of a rank in the all-reduce of elems elements by world
// ranks in messages of segmentElems elements at most; 0 means DefaultSegmentElems.
func NewRoute(world, rank, elems, segmentElems int) Route {
	if segmentElems == 0 {
		segmentElems = DefaultSegmentElems
	}
	return Route{schedule{world: world, rank: rank, elems: elems, segmentElems: segmentElems}}
}

// Hops is how many there are in each phase.
func (r Route) Hops() int { return r.schedule.hops() }

// Segments is how many messages the rank sends and how many it receives at a hop.
func (r Route) Segments(p Phase, hop int) (sent, received int) {
	return r.schedule.segments(r.schedule.sends(p, hop)), r.schedule.segments(r.schedule.receives(p, hop))
}

// Elems is how many elements message segment has that the rank sends at a hop, or that
// it receives there.
func (r Route) Elems(p Phase, hop, segment int, sends bool) int {
	if sends {
		return r.schedule.segment(r.schedule.sends(p, hop), segment).len()
	}
	return r.schedule.segment(r.schedule.receives(p, hop), segment).len()
}
