package core

import (
	"bufio"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "rewrite the transcripts in testdata")

// TestTranscripts plays the lives in testdata. A line "> event" is given to the
// machine; the indented lines below it are what it answered. Time moves by
// "> tick DURATION" alone.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := play(t, string(text))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if got != string(text) {
				t.Errorf("%s plays differently now:\n%s", file, got)
			}
		})
	}
}

func play(t *testing.T, text string) string {
	t.Helper()
	var out strings.Builder
	var m *Machine
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for lines := bufio.NewScanner(strings.NewReader(text)); lines.Scan(); {
		line := lines.Text()
		command, ok := strings.CutPrefix(line, "> ")
		if !ok {
			if !strings.HasPrefix(line, "    ") {
				out.WriteString(line + "\n")
			}
			continue
		}
		out.WriteString(line + "\n")
		fields := strings.Fields(command)
		if fields[0] == "new" {
			m = New(parseConfig(t, fields[1:]))
			continue
		}
		if fields[0] == "tick" {
			d, err := time.ParseDuration(fields[1])
			if err != nil {
				t.Fatal(err)
			}
			now = now.Add(d)
		}
		effects := m.Step(now, parseEvent(t, fields))
		for _, e := range effects {
			out.WriteString("    " + describe(e) + "\n")
		}
		if len(effects) == 0 {
			out.WriteString("    (" + m.Phase() + ")\n")
		}
	}
	return out.String()
}

// parseConfig reads key=value words.
func parseConfig(t *testing.T, words []string) Config {
	c := Config{Workers: 2, Shards: 8, Steps: 60, Patience: 30 * time.Second, Silence: 15 * time.Second, Version: "v1", Build: "sha256:aaaa"}
	for _, w := range words {
		key, value, _ := strings.Cut(w, "=")
		n, err := strconv.Atoi(value)
		if err != nil {
			t.Fatalf("%s: %v", w, err)
		}
		switch key {
		case "workers":
			c.Workers = n
		case "min":
			c.MinWorkers = n
		case "shards":
			c.Shards = n
		case "steps":
			c.Steps = uint64(n)
		case "resume":
			c.StartStep, c.FromCheckpoint = uint64(n), true
		case "generation":
			c.Generation = uint64(n)
		default:
			t.Fatalf("no setting %s", key)
		}
	}
	if c.MinWorkers == 0 {
		c.MinWorkers = c.Workers
	}
	return c
}

// parseEvent reads one command: its name, then its words.
func parseEvent(t *testing.T, f []string) Event {
	word := func(i int) string {
		if i < len(f) {
			return f[i]
		}
		return ""
	}
	number := func(i int) uint64 {
		n, err := strconv.ParseUint(word(i), 10, 64)
		if err != nil {
			t.Fatalf("%v: %v", f, err)
		}
		return n
	}
	switch f[0] {
	case "join":
		e := Joined{Worker: f[1], Address: f[1] + ":1", Version: "v1", Build: "sha256:aaaa"}
		if word(2) != "" {
			e.Version = f[2]
		}
		if word(3) != "" {
			e.Build = f[3]
		}
		return e
	case "heard":
		return Heard{f[1]}
	case "left":
		return Left{f[1], strings.Join(f[2:], " ")}
	case "failed":
		return Failed{Worker: f[1], Reason: strings.Join(f[2:], " ")}
	case "ring-failed":
		return Failed{Worker: f[1], Reason: strings.Join(f[2:], " "), Consequence: true}
	case "persisted":
		return Persisted{number(1)}
	case "ready":
		return Ready{f[1], number(2)}
	case "saved":
		return Saved{Worker: f[1], Generation: number(2), Step: number(3), Digest: f[4], Last: word(5) == "last", Loss: 0.5}
	case "published":
		return Published{number(1)}
	case "broken":
		return Broken{strings.Join(f[1:], " ")}
	case "stop":
		return StopRequested{strings.Join(f[1:], " ")}
	case "tick":
		return Tick{}
	}
	t.Fatalf("no event %v", f)
	return nil
}

func describe(e Effect) string {
	switch e := e.(type) {
	case Persist:
		return "persist " + describeGeneration(e.Generation)
	case Assign:
		return fmt.Sprintf("assign %s rank %d of generation %d", e.Worker, e.Rank, e.Generation.Number)
	case End:
		if e.OK {
			return fmt.Sprintf("end: step %d digest %s: %s", e.Step, e.Digest, e.Reason)
		}
		return "end, failed: " + e.Reason
	case Dismiss:
		return fmt.Sprintf("dismiss %s ok=%v: %s", e.Worker, e.OK, e.Reason)
	case Refuse:
		return fmt.Sprintf("refuse %s: %s", e.Worker, e.Reason)
	case Publish:
		return fmt.Sprintf("publish step %d digest %s of %v", e.Step, e.Digest, e.Members)
	case Admit:
		return "admit " + e.Worker
	case Begin:
		return fmt.Sprintf("begin %s generation %d", e.Worker, e.Generation)
	case Stop:
		return fmt.Sprintf("stop %s: %s", e.Worker, e.Reason)
	}
	return fmt.Sprintf("%T", e)
}

func describeGeneration(g Generation) string {
	s := fmt.Sprintf("generation %d from step %d", g.Number, g.StartStep)
	if g.FromCheckpoint {
		s += " by its checkpoint"
	}
	for _, m := range g.Members {
		s += fmt.Sprintf(", %s [%d, %d)", m.Worker, m.FirstShard, m.FirstShard+m.Shards)
	}
	return s + ": " + g.Reason
}
