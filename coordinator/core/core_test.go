package core

import (
	"bufio"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "rewrite the transcripts in testdata")

// TestTranscripts plays the lives in testdata. A line "> event" is given to the
// machine; the indented lines below it are what it answered, or the phase that it
// is in where it answered nothing. transcript_test.go has the events' form.
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

// player plays one transcript.
type player struct {
	t   *testing.T
	m   *Machine
	now time.Time
	out strings.Builder
	// said counts the effects of the command that is being played.
	said  int
	muted bool
}

func play(t *testing.T, text string) string {
	t.Helper()
	p := &player{t: t, now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	for lines := bufio.NewScanner(strings.NewReader(text)); lines.Scan(); {
		line := lines.Text()
		command, ok := strings.CutPrefix(line, "> ")
		if !ok {
			if !strings.HasPrefix(line, "    ") {
				p.out.WriteString(line + "\n")
			}
			continue
		}
		p.out.WriteString(line + "\n")
		p.said = 0
		p.command(strings.Fields(command))
		if p.said == 0 {
			p.out.WriteString("    (" + p.m.Phase() + ")\n")
		}
	}
	return p.out.String()
}

// command plays one event, or one of the commands that stand for several.
func (p *player) command(f []string) {
	p.t.Helper()
	switch f[0] {
	case "new":
		p.m = New(parseConfig(p.t, f[1:]))
	case "start": // WORKERS: they join, form a generation and train
		for _, id := range f[1:] {
			p.give(Joined{Worker: id, Address: id + ":1", Version: "v1", Build: "sha256:aaaa"})
			p.give(Available{id})
		}
		p.form(f[1:])
	case "form": // WORKERS: the generation is persisted, and they become ready
		p.form(f[1:])
	case "save": // STEP WORKERS: each has stored its part
		for _, id := range f[2:] {
			p.give(Saved{Worker: id, Generation: p.m.generation.Number, Step: natural(p.t, f[1]), Digest: "d" + f[1], Loss: 0.5})
		}
	case "stand": // STEP WORKERS: each is out of its ring at the end of a step
		for _, id := range f[2:] {
			p.give(Positioned{id, Position{
				Generation: p.m.generation.Number, HasState: true, HasGradient: true, Step: natural(p.t, f[1]), Unreachable: -1,
			}})
		}
	case "breaks": // TIMES WORKERS: the first one's ring breaks, and all form it anew
		for i := natural(p.t, f[1]); i > 0; i-- {
			p.muted = i > 1 // once tells it all
			p.give(Positioned{f[2], Position{
				Generation: p.m.generation.Number, HasState: true, Step: 4, Broke: "a message makes no sense", Unreachable: -1,
			}})
			p.command(append([]string{"stand", "4"}, f[3:]...))
			p.form(f[2:])
		}
	case "wait": // DURATION WORKERS: time passes, in which they are heard
		d, err := time.ParseDuration(f[1])
		if err != nil {
			p.t.Fatal(err)
		}
		for ; d > 0; d -= 250 * time.Millisecond {
			p.now = p.now.Add(250 * time.Millisecond)
			for _, id := range f[2:] {
				p.give(Heard{Worker: id})
			}
			p.give(Tick{})
		}
	case "pause": // DURATION: the coordinator itself stands still
		d, err := time.ParseDuration(f[1])
		if err != nil {
			p.t.Fatal(err)
		}
		p.now = p.now.Add(d)
		p.give(Tick{})
	default:
		p.give(p.published(parseEvent(p.t, f)))
	}
}

func (p *player) form(workers []string) {
	p.give(Persisted{p.m.generation.Number})
	for _, id := range workers {
		p.give(Ready{id, p.m.generation.Number})
	}
}

func (p *player) give(e Event) {
	for _, effect := range p.m.Step(p.now, e) {
		if p.muted {
			continue
		}
		p.said++
		p.out.WriteString("    " + describe(effect) + "\n")
	}
}

func describe(e Effect) string {
	switch e := e.(type) {
	case Admit:
		return "admit " + e.Worker
	case Refuse:
		return fmt.Sprintf("refuse %s: %s", e.Worker, e.Reason)
	case Persist:
		return "persist " + describeGeneration(e.Generation)
	case Assign:
		return fmt.Sprintf("assign %s rank %d of generation %d", e.Worker, e.Rank, e.Generation.Number)
	case Halt:
		return fmt.Sprintf("halt %s in generation %d: %s", e.Worker, e.Generation, e.Reason)
	case Yield:
		if e.Save {
			return fmt.Sprintf("yield %s in generation %d, saving: %s", e.Worker, e.Generation, e.Reason)
		}
		return fmt.Sprintf("yield %s in generation %d: %s", e.Worker, e.Generation, e.Reason)
	case Publish:
		return fmt.Sprintf("publish step %d digest %s of %v in generation %d", e.Step, e.Digest, e.Members, e.Generation)
	case GiveUp:
		return fmt.Sprintf("give up step %d of generation %d: %s", e.Step, e.Generation, e.Reason)
	case Dismiss:
		again := ""
		if e.Again {
			again = ", it may come back"
		}
		return fmt.Sprintf("dismiss %s ok=%v%s: %s", e.Worker, e.OK, again, e.Reason)
	case Note:
		return "note: " + e.Text
	case End:
		if e.OK {
			return fmt.Sprintf("end: step %d digest %s: %s", e.Step, e.Digest, e.Reason)
		}
		if e.Stopped {
			return fmt.Sprintf("end, stopped, step %d is published: %s", e.Step, e.Reason)
		}
		return fmt.Sprintf("end, failed, step %d is published: %s", e.Step, e.Reason)
	}
	return fmt.Sprintf("%T", e)
}

func describeGeneration(g Generation) string {
	s := fmt.Sprintf("generation %d from step %d to %d", g.Number, g.StartStep, g.LastStep)
	s += [...]string{"", " by its checkpoint", " by its members"}[g.Source]
	if g.SaveAtStart {
		s += ", saving"
	}
	for _, m := range g.Members {
		s += fmt.Sprintf(", %s [%d, %d)", m.Worker, m.FirstShard, m.FirstShard+m.Shards)
		s += [...]string{"", " lacks the gradient", " lacks the state"}[m.Lack]
		if len(m.Kept) > 0 {
			s += fmt.Sprintf(" keeps %v and does %v", m.Kept, m.Extra)
		}
	}
	return s + ": " + g.Reason
}

// published says which generation's checkpoint an event tells of: the transcripts name
// its step alone.
func (p *player) published(e Event) Event {
	step := uint64(0)
	switch e := e.(type) {
	case Published:
		step = e.Step
	case PublishFailed:
		step = e.Step
	}
	for _, s := range p.m.savings {
		if c := s.steps[step]; c == nil || c.publish == nil {
			continue
		}
		switch e := e.(type) {
		case Published:
			e.Generation = s.generation
			return e
		case PublishFailed:
			e.Generation = s.generation
			return e
		}
	}
	return e
}

// Many workers give signs of life less often than few, when they are asked, and are given
// longer for it.
func TestManyBeatLessOften(t *testing.T) {
	t.Parallel()
	silence := Silence{Min: 2 * time.Second, Max: 20 * time.Second}
	for _, v := range []struct {
		workers           int
		every, ask, limit time.Duration
	}{
		{2, 250 * time.Millisecond, 0, 2 * time.Second},
		{50, 250 * time.Millisecond, 0, 2 * time.Second},
		{200, 9 * time.Second, 6 * time.Second, 6 * time.Second},
		{1000, 42 * time.Second, 28 * time.Second, 20 * time.Second},
		{2000, 42 * time.Second, 28 * time.Second, 20 * time.Second},
		{5000, 42 * time.Second, 28 * time.Second, 20 * time.Second},
	} {
		m := New(Config{Workers: v.workers, MinWorkers: 1, Shards: v.workers, Steps: 9, Heartbeat: 250 * time.Millisecond, Silence: silence})
		effects := m.Step(time.Unix(1, 0), Joined{Worker: "w1", Address: "host:1"})
		if a, ok := effects[0].(Admit); !ok || a.Heartbeat != v.every || a.Ask != v.ask {
			t.Errorf("%d workers: %+v, want a sign of life every %s, and to be asked every %s", v.workers, effects[0], v.every, v.ask)
		}
		if limit := m.find("w1").life.limit(silence); limit != v.limit {
			t.Errorf("%d workers: one may be silent for %s, want %s", v.workers, limit, v.limit)
		}
	}
}

// crowd is a machine at a time of its own, whose workers train.
type crowd struct {
	t   *testing.T
	m   *Machine
	now time.Time
}

// step gives an event, and returns the workers that are asked for signs of life.
func (c *crowd) step(e Event) (asked []string, rest []Effect) {
	for _, effect := range c.m.Step(c.now, e) {
		if a, ok := effect.(Ask); ok {
			asked = append(asked, a.Worker)
		} else {
			rest = append(rest, effect)
		}
	}
	return asked, rest
}

func newCrowd(t *testing.T, workers int) *crowd {
	t.Helper()
	c := &crowd{t: t, now: time.Unix(1, 0), m: New(Config{
		Workers: workers, MinWorkers: 1, Patience: time.Minute, Shards: workers, Steps: 1 << 30,
		Heartbeat: 250 * time.Millisecond, Silence: Silence{Min: 2 * time.Second, Max: 20 * time.Second},
	})}
	for i := range workers {
		id := fmt.Sprintf("w%d", i)
		c.step(Joined{Worker: id, Address: id + ":1"})
		c.step(Available{id})
	}
	c.step(Persisted{1})
	for i := range workers {
		c.step(Ready{fmt.Sprintf("w%d", i), 1})
	}
	if c.m.phase != training {
		t.Fatalf("%d workers: %s: %s", workers, c.m.Phase(), c.m.Reason())
	}
	return c
}

// Many workers are asked for signs of life all at once, seldom while steps are completed, which prove that all members live. Who does not answer when none is, is lost.
func TestManyAreAskedTogether(t *testing.T) {
	t.Parallel()
	const workers, mute = 400, "w7" // asked every 2 s
	c := newCrowd(t, workers)
	began, stalled := c.now, 60*time.Second
	polls, before, lost := map[bool]int{}, time.Duration(0), ""
	for lost == "" && c.now.Sub(began) < 2*stalled {
		c.now = c.now.Add(tickOf)
		since := c.now.Sub(began)
		moving := since < stalled
		asked, rest := c.step(Tick{})
		if len(asked) > 0 {
			if len(asked) != workers {
				t.Fatalf("after %s: %d of %d workers are asked", since, len(asked), workers)
			}
			gap := since - before
			before = since
			if polls[moving]++; polls[moving] > 2 { // the first ones are of the time before
				want := 2 * time.Second
				if moving {
					want = 12 * time.Second
				}
				if gap < want || gap > want+tickOf { // one more would make it 2.005 s
					t.Errorf("after %s: asked again after %s, want %s", since, gap, want)
				}
			}
			for _, id := range asked {
				if id != mute {
					c.step(Heard{Worker: id, Rate: 1})
				}
			}
		}
		for _, e := range rest {
			if d, ok := e.(Dismiss); ok {
				lost = d.Worker
				if d.Worker != mute || since < stalled+11*time.Second || since > stalled+13*time.Second {
					t.Errorf("after %s: %+v; want %s to be lost 12 s after the last step", since, d, mute)
				}
			}
		}
		if moving && since%time.Second == 0 {
			c.step(Progressed{Step: uint64(since / time.Second)})
		}
	}
	if lost == "" {
		t.Error("nobody is lost")
	}
}

// Who waits for a place is no part of a step, which proves nothing of it: it is asked more
// often than members, and is lost when it hangs.
func TestWhoWaitsIsAskedBesides(t *testing.T) {
	t.Parallel()
	const workers = 400
	c := newCrowd(t, workers)
	c.m.config.Patience = time.Hour
	for _, id := range []string{"late", "mute"} {
		c.step(Joined{Worker: id, Address: id + ":1"}) // and not Available yet
	}
	began, asks, lost := c.now, 0, time.Duration(0)
	for c.now.Sub(began) < time.Minute {
		c.now = c.now.Add(tickOf)
		since := c.now.Sub(began)
		asked, rest := c.step(Tick{})
		for _, id := range asked {
			if id == "late" {
				asks++
			}
			if id != "mute" {
				c.step(Heard{Worker: id, Rate: 1})
			}
		}
		for _, e := range rest {
			if d, ok := e.(Dismiss); ok {
				if d.Worker != "mute" || lost > 0 {
					t.Errorf("after %s: %+v", since, d)
				}
				lost = since
			}
		}
		if since%time.Second == 0 {
			c.step(Progressed{Step: uint64(since / time.Second)})
		}
	}
	if asks < 14 || asks > 16 || lost < 12*time.Second || lost > 14*time.Second {
		t.Errorf("who waits is asked %d times in a minute, and who hangs is lost after %s", asks, lost)
	}
}

// tickOf is how often a coordinator's machine hears that time passes.
const tickOf = 100 * time.Millisecond

// Where many die at once, a few of them are named to all.
func TestManyReasonsAreCounted(t *testing.T) {
	t.Parallel()
	c := newCrowd(t, 300)
	if !c.m.AtRest() {
		t.Error("300 that train are not at rest")
	}
	defer func() {
		if c.m.AtRest() {
			t.Error("they are at rest while the ring changes")
		}
	}()
	for i := range 100 {
		c.step(Left{fmt.Sprintf("w%d", 2*i), "its session ended"})
	}
	reason := c.m.Reason()
	if !strings.HasPrefix(reason, "worker w0 was lost: its session ended; worker w2 ") || !strings.HasSuffix(reason, "; and 92 reasons more") || len(reason) > 500 {
		t.Errorf("%d bytes: %s", len(reason), reason)
	}
}

// Where many hang at once, each tick takes one of them out.
func TestManyHangTogether(t *testing.T) {
	t.Parallel()
	c := newCrowd(t, 200)
	lost := 0
	var first, last time.Time
	for began := c.now; c.now.Sub(began) < 12*time.Second; { // before the others have not answered a Halt for too long
		c.now = c.now.Add(tickOf)
		asked, rest := c.step(Tick{})
		for _, id := range asked {
			if len(id) > 2 { // from w10 on
				c.step(Heard{Worker: id, Rate: 1})
			}
		}
		for _, e := range rest {
			if _, ok := e.(Dismiss); ok {
				lost, last = lost+1, c.now
				if lost == 1 {
					first = c.now
				}
			}
		}
	}
	if lost != 10 || last.Sub(first) > 10*tickOf {
		t.Errorf("%d of 10 workers that hang are lost, the last one %s after the first", lost, last.Sub(first))
	}
}
