package core

import (
	"math"
	"time"
)

// Silence bounds how long a worker may give no sign of life. Between the two it
// follows the signs themselves: where machines are busy, or the network slow, they
// come unevenly, and a worker is given longer.
type Silence struct{ Min, Max time.Duration }

// liveness is when a worker was heard, and how evenly.
type liveness struct {
	// every is how often the worker was told to give a sign; 0: not known.
	every time.Duration
	last  time.Time
	// mean and deviation are of the times between signs, in seconds.
	mean, deviation float64
}

// heard notes a sign of life.
func (l *liveness) heard(now time.Time) {
	if !l.last.IsZero() {
		gap := now.Sub(l.last).Seconds()
		off := math.Abs(gap - l.mean)
		l.deviation += (off - l.deviation) / 8
		l.mean += (gap - l.mean) / 8
	}
	l.last = now
}

// excuse forgets a silence for which the worker is not to blame.
func (l *liveness) excuse(now time.Time) { l.last = now }

// missed is how many signs in a row may be missing.
const missed = 6

// limit is how long a silence may last.
func (l *liveness) limit(s Silence) time.Duration {
	patient := time.Duration((l.mean + 10*l.deviation) * float64(time.Second))
	return min(max(patient, s.Min, missed*l.every), s.Max)
}

// silent says for how long the worker has been silent if that is too long.
func (l *liveness) silent(now time.Time, s Silence) (time.Duration, bool) {
	d := now.Sub(l.last)
	return d, d > l.limit(s)
}
