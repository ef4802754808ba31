package core

import (
	"fmt"
	"testing"
	"time"
)

// However many workers there are, none that answers whenever it is asked is lost: neither
// members, be steps short or long, nor those who wait for a place, nor those who joined when
// there were few.
func TestWhoAnswersIsNotLost(t *testing.T) {
	t.Parallel()
	for _, v := range []struct {
		planned, workers int
		step             time.Duration
	}{
		{2500, 2500, time.Second},
		{5000, 5000, time.Second},
		{5000, 5000, 45 * time.Second},
		{60, 5000, 45 * time.Second},
	} {
		t.Run(fmt.Sprintf("%d of %d, a step in %s", v.workers, v.planned, v.step), func(t *testing.T) {
			t.Parallel()
			c := newCrowd(t, v.planned)
			for i := v.planned; i < v.workers; i++ {
				c.step(Joined{Worker: fmt.Sprintf("w%d", i), Address: "host:1"}) // and not Available yet
			}
			c.step(Joined{Worker: "late", Address: "late:1"})
			began, asks := c.now, 0
			for c.now.Sub(began) < 90*time.Second {
				c.now = c.now.Add(tickOf)
				since := c.now.Sub(began)
				asked, rest := c.step(Tick{})
				for _, id := range asked {
					if id == "late" {
						asks++
					}
					c.step(Heard{Worker: id, Rate: 1})
				}
				for _, e := range rest {
					t.Fatalf("after %s: %T %+v", since, e, e)
				}
				if since%v.step == 0 {
					c.step(Progressed{Step: uint64(since / v.step)})
				}
			}
			if asks < 8 || asks > 20 {
				t.Errorf("who waits is asked %d times in 90 s", asks)
			}
		})
	}
}
