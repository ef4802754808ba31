package core

import (
	"strings"
	"testing"
	"time"
)

// A run whose workers are all lost, and whose newest checkpoint is damaged, ends, so that the
// next start finds the one before; while a worker has the state it goes on.
func TestUnreadableCheckpoint(t *testing.T) {
	t.Parallel()
	for _, trains := range []bool{false, true} {
		now := time.Unix(1000, 0)
		m := New(Config{
			Workers: 1, MinWorkers: 1, Shards: 4, Steps: 100, StartStep: 40, HasCheckpoint: true,
			Silence: Silence{Min: time.Hour, Max: time.Hour},
		})
		m.Step(now, Joined{Worker: "w1", Address: "w1:1"})
		m.Step(now, Available{Worker: "w1"})
		m.Step(now, Persisted{Generation: 1})
		if trains {
			m.Step(now, Ready{Worker: "w1", Generation: 1})
		}
		var said string
		for _, e := range m.Step(now, Unreadable{Step: 40, Reason: "a part is damaged"}) {
			switch e := e.(type) {
			case End:
				said = e.Reason
			case Note:
				said = e.Text
			}
		}
		if ended := m.Phase() == "ended"; ended == trains || !strings.Contains(said, "a part is damaged") {
			t.Errorf("it trains: %v; it is %s and says %q", trains, m.Phase(), said)
		}
	}
}

// Nor does it end while those who have the state form another generation.
func TestUnreadableWhileMembersBringTheState(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	m := New(Config{
		Workers: 2, MinWorkers: 1, Shards: 4, Steps: 100, StartStep: 40, HasCheckpoint: true,
		Silence: Silence{Min: time.Hour, Max: time.Hour},
	})
	for _, w := range []string{"w1", "w2"} {
		m.Step(now, Joined{Worker: w, Address: w + ":1"})
		m.Step(now, Available{Worker: w})
	}
	m.Step(now, Persisted{Generation: 1})
	m.Step(now, Failed{Worker: "w2", Reason: "a part is damaged"})
	m.Step(now, Positioned{"w1", Position{Generation: 1, HasState: true, Step: 40, Unreachable: -1}})
	for _, persisted := range []bool{false, true} {
		if persisted {
			m.Step(now, Persisted{Generation: 2})
		}
		m.Step(now, Unreadable{Step: 40, Reason: "a part is damaged"})
		if m.Phase() != "forming" {
			t.Fatalf("worker w1 has the state, and the run is %s: %s", m.Phase(), m.Reason())
		}
	}
}
