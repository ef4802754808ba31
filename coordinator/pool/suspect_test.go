package pool

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// A job that may be what ends its workers holds up no other.
func TestASilentWorkersJobComesAfterOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newLeader(t, newKeys())
		first, second := s.add(t, 1, 2, 1), s.add(t, 2, 2, 1)
		next := func(want ...string) {
			t.Helper()
			var got []string
			for range want {
				id, _ := take(t, s, "w")
				got = append(got, id)
			}
			if !slices.Equal(got, want) {
				t.Fatalf("the next are of %q, want %q", got, want)
			}
		}
		silence := func() {
			time.Sleep(s.config.Lease)
			s.expire(t.Context())
		}
		next(first)
		silence()
		next(second, second, first, first)
		silence() // both are silent now, and the older one comes first
		next(first)
		finish(t, s, second, 0)
		next(second)
		silence()
		finish(t, s, second, 1)
		next(second) // its files
		next(first)
		silence()
		s.add(t, 3, 1, 1)
		time.Sleep(suspectFor)
		next(first)
	})
}
