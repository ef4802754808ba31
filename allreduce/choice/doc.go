// Package choice chooses the all-reduce by what it would cost: round the ring, by
// recursive halving and doubling between partners, or in lanes between hosts (see package
// allreduce).
//
// Sums are the same whichever way they go, so the choice decides time alone. All members
// of a generation have to choose alike, so one makes it for all, of what members have
// measured of their links; what nobody has measured is assumed: see Default.
package choice
