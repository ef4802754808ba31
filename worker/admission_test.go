package worker

import (
	"slices"
	"testing"
)

// A new worker is sent away by a coordinator that does not lead, and goes to the one that does;
// the same one takes it in where it leads again.
func TestNewcomersFindTheOneThatLeads(t *testing.T) {
	for _, alone := range []bool{false, true} {
		c := newCluster(t, 1)
		sent := 0
		c.onHello = func(_ *fake, p *peer) bool {
			if sent++; alone && sent > 1 {
				return false
			}
			p.drop()
			return true
		}
		first, stopFirst := serveFake(t, c)
		defer stopFirst()
		leads := first
		if !alone {
			next := *c
			next.onHello = nil
			second, stopSecond := serveFake(t, &next)
			defer stopSecond()
			c.others, leads = []string{second.address}, second
		}
		if err := c.worker(0, first.address).live(t.Context()); err != nil {
			t.Fatal(err)
		}
		if leads.digest(c.steps) == "" || sent == 0 {
			t.Errorf("it was sent away %d times", sent)
		}
	}
}

func TestOthersComeInTurn(t *testing.T) {
	for last, want := range map[string][]string{"a": {"b", "c", "a"}, "c": {"a", "b", "c"}, "": {"a", "b", "c"}} {
		if got := others([]string{"a", "b", "c"}, last); !slices.Equal(got, want) {
			t.Errorf("after %q come %v, want %v", last, got, want)
		}
	}
}
