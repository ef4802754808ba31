package chaos

import "time"

const (
	// limitBetween is how long lies between two faults, about.
	limitBetween = 400 * time.Millisecond
	// limit is generous: the machine may be slow.
	limit = 3 * time.Minute
)
