package core

import (
	"testing"
	"time"
)

// A worker is given as long as its own signs ask for, within the bounds.
func TestLivenessFollowsTheSigns(t *testing.T) {
	t.Parallel()
	bounds := Silence{Min: 2 * time.Second, Max: 20 * time.Second}
	for _, v := range []struct {
		name     string
		gaps     []time.Duration
		low, top time.Duration
	}{
		{"nothing is known", nil, bounds.Min, bounds.Min},
		{"even", repeat(100, 250*time.Millisecond), bounds.Min, bounds.Min},
		{"uneven", append(repeat(50, 100*time.Millisecond), repeat(8, time.Second)...), 3 * time.Second, 15 * time.Second},
		{"rare", repeat(60, 30*time.Second), bounds.Max, bounds.Max},
		{"even again", append(repeat(20, 5*time.Second), repeat(100, 250*time.Millisecond)...), bounds.Min, bounds.Min},
	} {
		var l liveness
		now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		l.heard(now)
		for _, gap := range v.gaps {
			now = now.Add(gap)
			l.heard(now)
		}
		if got := l.limit(bounds); got < v.low || got > v.top {
			t.Errorf("%s: it is given %s, want %s to %s", v.name, got, v.low, v.top)
		}
		limit := l.limit(bounds)
		if _, tooLong := l.silent(now.Add(limit), bounds); tooLong {
			t.Errorf("%s: silent for %s is too long already", v.name, limit)
		}
		if d, tooLong := l.silent(now.Add(limit+1), bounds); !tooLong || d != limit+1 {
			t.Errorf("%s: silent for %s is not too long", v.name, d)
		}
		l.excuse(now.Add(limit))
		if _, tooLong := l.silent(now.Add(limit+bounds.Min), bounds); tooLong {
			t.Errorf("%s: an excused silence counts", v.name)
		}
	}
}

func repeat(n int, gap time.Duration) []time.Duration {
	gaps := make([]time.Duration, n)
	for i := range gaps {
		gaps[i] = gap
	}
	return gaps
}
