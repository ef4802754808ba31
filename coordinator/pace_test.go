package coordinator

import (
	"runtime"
	"testing"
)

// Rest ends with what there was before it, also where the loop ends at rest.
func TestPace(t *testing.T) {
	before := runtime.GOMAXPROCS(0)
	p := newPace()
	for _, resting := range []bool{true, true, false, true} {
		p.set(resting)
		if n := runtime.GOMAXPROCS(0); resting && n != 1 || !resting && n != before {
			t.Errorf("resting %v: on %d processors of %d", resting, n, before)
		}
	}
	p.stop()
	if n := runtime.GOMAXPROCS(0); n != before {
		t.Errorf("in the end on %d processors of %d", n, before)
	}
}
