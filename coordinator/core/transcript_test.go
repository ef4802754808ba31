package core

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

func natural(t *testing.T, word string) uint64 {
	t.Helper()
	n, err := strconv.ParseUint(word, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// parseConfig reads key=value words.
func parseConfig(t *testing.T, words []string) Config {
	t.Helper()
	c := Config{
		Workers: 2, Shards: 8, Steps: 60, Patience: 30 * time.Second, Version: "v1", Build: "sha256:aaaa",
		Silence: Silence{2 * time.Second, 20 * time.Second}, AdoptPatience: 5 * time.Second,
	}
	for _, w := range words {
		key, value, _ := strings.Cut(w, "=")
		if key == "adopt" { // MEMBERS of the last generation, which began at resume
			c.Adopt = true
			for _, id := range strings.Split(value, ",") {
				c.Last.Members = append(c.Last.Members, Member{Worker: id, Address: id + ":1"})
			}
			continue
		}
		n := natural(t, value)
		switch key {
		case "workers":
			c.Workers = int(n)
		case "min":
			c.MinWorkers = int(n)
		case "shards":
			c.Shards = int(n)
		case "steps":
			c.Steps = n
		case "every":
			c.CheckpointEvery = n
		case "resume":
			c.StartStep, c.HasCheckpoint = n, true
		case "skipped":
			c.MaxSkipped = int(n)
		case "generation":
			c.Last.Number = n
		case "last": // the last generation's LastStep, where it is not steps
			c.Last.LastStep = n
		default:
			t.Fatalf("no setting %s", key)
		}
	}
	if c.MinWorkers == 0 {
		c.MinWorkers = c.Workers
	}
	if c.Last.LastStep == 0 {
		c.Last.LastStep = c.Steps
	}
	c.Last.StartStep, c.Last.CheckpointEvery = c.StartStep, c.CheckpointEvery
	if len(c.Last.Members) > 0 {
		deal(c.Shards, c.Last.Members, make([]float64, len(c.Last.Members)), make([][]int, len(c.Last.Members)))
	}
	return c
}

// parseEvent reads one command: its name, then its words.
func parseEvent(t *testing.T, f []string) Event {
	t.Helper()
	word := func(i int) string {
		if i < len(f) {
			return f[i]
		}
		return ""
	}
	number := func(i int) uint64 { return natural(t, word(i)) }
	rest := func(i int) string { return strings.Join(f[min(i, len(f)):], " ") }
	switch f[0] {
	case "join": // WORKER [VERSION [BUILD]]
		e := Joined{Worker: f[1], Address: f[1] + ":1", Version: "v1", Build: "sha256:aaaa"}
		if word(2) != "" {
			e.Version = f[2]
		}
		if word(3) != "" {
			e.Build = f[3]
		}
		return e
	case "back": // WORKER POSITION: it was in the run before
		p := parsePosition(t, f[2:])
		return Joined{Worker: f[1], Address: f[1] + ":1", Version: "v1", Build: "sha256:aaaa", Resume: &p}
	case "available":
		return Available{f[1]}
	case "heard": // WORKER [RATE]
		e := Heard{Worker: f[1]}
		if word(2) != "" {
			e.Rate = float64(number(2))
		}
		return e
	case "left":
		return Left{f[1], rest(2)}
	case "failed":
		return Failed{f[1], rest(2)}
	case "persisted":
		return Persisted{number(1)}
	case "ready":
		return Ready{f[1], number(2)}
	case "at": // WORKER POSITION: it is out of its ring
		return Positioned{f[1], parsePosition(t, f[2:])}
	case "progressed": // STEP [skipped]
		return Progressed{Step: number(1), Skipped: word(2) == "skipped"}
	case "overflowed":
		return Overflowed{f[1], rest(2)}
	case "saved": // WORKER GENERATION STEP DIGEST
		return Saved{Worker: f[1], Generation: number(2), Step: number(3), Digest: f[4], Loss: 0.5}
	case "save-failed": // WORKER GENERATION STEP REASON
		return SaveFailed{Worker: f[1], Generation: number(2), Step: number(3), Reason: rest(4)}
	case "leaving":
		return Leaving{f[1], rest(2)}
	case "published":
		return Published{Step: number(1)}
	case "publish-failed":
		return PublishFailed{Step: number(1), Reason: rest(2)}
	case "broken":
		return Broken{rest(1)}
	case "stop":
		return StopRequested{rest(1)}
	}
	t.Fatalf("no event %v", f)
	return nil
}

// parsePosition reads "generation=4 step=10 shards=0,1 training", and after
// "broke" why.
func parsePosition(t *testing.T, words []string) Position {
	t.Helper()
	p := Position{Unreachable: -1}
	if i := slices.Index(words, "broke"); i >= 0 {
		p.Broke, words = strings.Join(words[i+1:], " "), words[:i]
	}
	for _, w := range words {
		key, value, _ := strings.Cut(w, "=")
		switch key {
		case "training":
			p.Training = true
		case "gradient":
			p.HasGradient = true
		case "generation":
			p.Generation = natural(t, value)
		case "step":
			p.HasState, p.Step = true, natural(t, value)
		case "unreachable":
			p.Unreachable = int(natural(t, value))
		case "weights":
			p.Differs, p.Weights = true, natural(t, value)
		case "shards":
			for _, s := range strings.Split(value, ",") {
				p.Shards = append(p.Shards, int(natural(t, s)))
			}
		default:
			t.Fatalf("no part %s of a position", key)
		}
	}
	return p
}
