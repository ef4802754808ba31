package core

import (
	"math"
	"testing"
	"time"
)

// idle is a machine that has given up the members of a former coordinator, and to which one of
// them comes back, with a state that no checkpoint has.
func idle(t *testing.T) (m *Machine, now time.Time) {
	t.Helper()
	now = time.Unix(1000, 0)
	m = New(Config{
		Workers: 2, MinWorkers: 2, Shards: 4, Steps: 100, Adopt: true, AdoptPatience: 10 * time.Second, Patience: time.Hour,
		Silence: Silence{Min: time.Hour, Max: time.Hour}, Last: Generation{Number: 5, LastStep: 100, Members: []Member{{Worker: "w1"}, {Worker: "w2"}}},
	})
	for range 110 {
		now = now.Add(100 * time.Millisecond)
		m.Step(now, Tick{})
	}
	if m.Phase() != "waiting" {
		t.Fatalf("it is %s", m.Phase())
	}
	m.Step(now, Joined{Worker: "w1", Address: "w1:1", Resume: &Position{Generation: 5, Training: true, HasState: true, Step: 40, Unreachable: -1}})
	return m, now
}

// What a worker has brought back is saved, whoever asks it or the run to end, and whether or
// not it has said yet where it stands.
func TestAStateIsSavedWhileOthersAreAwaited(t *testing.T) {
	t.Parallel()
	stand := Positioned{Worker: "w1", Position: Position{Generation: 5, HasState: true, Step: 40, Unreachable: -1}}
	for name, events := range map[string][]Event{
		"the run is stopped":                {stand, StopRequested{Reason: "interrupted"}},
		"the run is stopped before it says": {StopRequested{Reason: "interrupted"}, stand},
		"the worker leaves":                 {stand, Leaving{Worker: "w1", Reason: "asked to"}},
		"the worker leaves before it says":  {Leaving{Worker: "w1", Reason: "asked to"}, stand},
	} {
		m, now := idle(t)
		var formed Generation
		for _, e := range events {
			for _, x := range m.Step(now, e) {
				switch x := x.(type) {
				case Persist:
					formed = x.Generation
				case Dismiss, End:
					t.Errorf("%s: %T %+v", name, x, x)
				}
			}
		}
		if formed.StartStep != 40 || formed.LastStep != 40 || len(formed.Members) != 1 {
			t.Errorf("%s: it forms %+v (%s)", name, formed, m.Phase())
		}
	}
}

// Where it is gone before it has said so, there is nothing to save.
func TestAStateThatIsGoneIsNotAwaited(t *testing.T) {
	t.Parallel()
	m, now := idle(t)
	m.Step(now, StopRequested{Reason: "interrupted"})
	var end *End
	for _, x := range m.Step(now, Left{Worker: "w1", Reason: "its session broke"}) {
		if e, ok := x.(End); ok {
			end = &e
		}
	}
	if end == nil || !end.Stopped {
		t.Errorf("the end is %+v, %s", end, m.Phase())
	}
}

// A number that can't be a generation's does not use up those that can.
func TestAGenerationThatCannotBe(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	m := New(Config{Workers: 1, MinWorkers: 1, Shards: 4, Steps: 100, Silence: Silence{Min: time.Hour, Max: time.Hour}, Last: Generation{Number: 5}})
	m.Step(now, Joined{Worker: "w1", Address: "w1:1", Resume: &Position{Generation: math.MaxUint64, Unreachable: -1}})
	m.Step(now, Tick{})
	if g, _ := m.Generation(); g.Number != 6 {
		t.Errorf("the next generation is %d (%s)", g.Number, m.Phase())
	}
}
