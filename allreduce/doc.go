// Package allreduce sums vectors over the members of a ring, exactly.
package allreduce
