package core

import (
	"testing"
	"time"
)

// Workers that train in a newer generation than this coordinator was told of are halted in
// that one, and the next is newer than it: else they would take neither.
func TestANewerGenerationThanIsKnown(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	m := New(Config{
		Workers: 2, MinWorkers: 1, Shards: 4, Steps: 100, Adopt: true, AdoptPatience: 10 * time.Second, Silence: Silence{Min: time.Hour, Max: time.Hour},
		Last: Generation{Number: 5, LastStep: 100, Members: []Member{{Worker: "w1"}, {Worker: "w2"}, {Worker: "w3"}}},
	})
	const number = 8
	var formed uint64
	for _, id := range []string{"w2", "w3"} {
		at := Position{Generation: number, Training: true, HasState: true, Step: 40, Unreachable: -1}
		for _, e := range m.Step(now, Joined{Worker: id, Address: id + ":1", Resume: &at}) {
			if h, ok := e.(Halt); ok && h.Generation < number {
				t.Errorf("%s is halted in generation %d, and is in %d", id, h.Generation, number)
			}
		}
		at.Training = false
		m.Step(now, Positioned{Worker: id, Position: at})
	}
	for range 200 {
		now = now.Add(100 * time.Millisecond)
		for _, e := range m.Step(now, Tick{}) {
			if p, ok := e.(Persist); ok {
				formed = p.Generation.Number
			}
		}
	}
	if formed != number+1 {
		t.Errorf("the next generation is %d (%s: %s), want %d", formed, m.Phase(), m.Reason(), number+1)
	}
}
