package core

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ddpm-cluster/ddpm-cluster/allreduce/choice"
)

// formed is a run of so many workers, all in their first generation, which is returned.
func formed(t *testing.T, workers, elems int, hear func(i int) choice.Link) (*Machine, Generation) {
	t.Helper()
	m := New(Config{Workers: workers, MinWorkers: 2, Patience: time.Hour, Shards: workers, Steps: 9, Elems: elems, Silence: Silence{Min: time.Hour, Max: time.Hour}})
	now := time.Unix(1e9, 0)
	var made []Generation
	step := func(e Event) {
		for _, effect := range m.Step(now, e) {
			if p, ok := effect.(Persist); ok {
				made = append(made, p.Generation)
			}
		}
	}
	for i := range workers {
		step(Joined{Worker: fmt.Sprintf("w%d", i+1), Address: fmt.Sprintf("host%d:1", i)})
	}
	for i := range workers {
		id := fmt.Sprintf("w%d", i+1)
		if hear != nil {
			step(Heard{Worker: id, Link: hear(i)})
		}
		step(Available{id})
	}
	if len(made) != 1 {
		t.Fatalf("%d generations", len(made))
	}
	return m, made[0]
}

// A generation's buckets are halved where that is worth it, by what members say of their
// links, and what they say later makes no generation.
func TestGenerationChoosesTheAllReduce(t *testing.T) {
	t.Parallel()
	if _, g := formed(t, 8, 1000, nil); g.HalvingElems == 0 || !strings.Contains(g.AllReduce, "halving: 8 members, 90 us a hop (assumed)") {
		t.Errorf("up to %d elements: %s", g.HalvingElems, g.AllReduce)
	}
	slow := func(int) choice.Link { return choice.Link{Latency: 1e-6, Bandwidth: 1e5} }
	m, g := formed(t, 8, 1000, slow)
	if g.HalvingElems != 0 || !strings.Contains(g.AllReduce, "ring: 8 members, 41 us a hop, 0.0008 Gbit/s") {
		t.Errorf("up to %d elements: %s", g.HalvingElems, g.AllReduce)
	}
	for i := range 8 {
		if effects := m.Step(m.now, Heard{Worker: fmt.Sprintf("w%d", i+1), Link: choice.Link{Latency: 1, Bandwidth: 1e12}}); len(effects) > 0 {
			t.Errorf("what a worker says of its link leads to %v", effects)
		}
	}
	if effects := m.Step(m.now.Add(time.Second), Tick{}); len(effects) > 0 {
		t.Errorf("and then to %v", effects)
	}
	if _, g := formed(t, 8, 0, nil); g.HalvingElems != 0 || g.AllReduce != "" {
		t.Errorf("of nothing known, up to %d elements: %s", g.HalvingElems, g.AllReduce)
	}
}

// Where two did not reach each other, or links break again and again, a ring has the
// fewest links that can fail.
func TestTroubledLinksMakeARing(t *testing.T) {
	t.Parallel()
	m, g := formed(t, 8, 1000, nil)
	m.apart = map[[2]string]bool{{"w2", "w7"}: true}
	m.choose(&g, m.workers)
	if g.AllReduce != "ring: workers w2 and w7 did not reach each other" {
		t.Error(g.AllReduce)
	}
	for _, w := range m.workers {
		w.address = "host:" + w.id
	}
	m.apart, g.HalvingElems = nil, 0
	m.choose(&g, m.workers)
	if g.HalvingElems != 0 || !strings.Contains(g.AllReduce, "all 8 members are at one host") {
		t.Errorf("up to %d elements: %s", g.HalvingElems, g.AllReduce)
	}
	m, g = formed(t, 8, 1000, nil)
	g.HalvingElems = 0
	m.troubles.breaks = brokenLinks
	m.choose(&g, m.workers)
	if g.HalvingElems != 0 || g.AllReduce != "ring: the links broke 2 times in a row" {
		t.Errorf("up to %d elements: %s", g.HalvingElems, g.AllReduce)
	}
}

// Workers of a host follow one another in the ring, whatever the order in which they came,
// and share memory where that is worth it; at one host always.
func TestMembersAreOrderedByHost(t *testing.T) {
	t.Parallel()
	m, g := formed(t, 7, 1<<20, nil)
	for i, host := range []string{"b:1", "a:1", "b:2", "", "c:1", "a:2", ""} {
		m.workers[i].address = host
	}
	workers := byHost(m.workers)
	var order []string
	for _, w := range workers {
		order = append(order, w.id)
	}
	if got := strings.Join(order, " "); got != "w1 w3 w2 w6 w4 w7 w5" {
		t.Errorf("in the order %s", got)
	}
	m.apart = map[[2]string]bool{{"w4", "w2"}: true}
	if !slices.Equal(m.order(m.workers), m.workers) {
		t.Error("workers that were placed between others are ordered by host")
	}
	m.apart = nil
	if !slices.Equal(m.order(m.workers), workers) {
		t.Error("workers that all reach each other are not ordered by host")
	}
	if sizes := hostSizes(workers); !slices.Equal(sizes, []int{2, 2, 1, 1, 1}) {
		t.Errorf("hosts of %v", sizes)
	}
	m, g = formed(t, 8, 1<<20, nil)
	for i, w := range m.workers {
		w.address = fmt.Sprintf("host%d:%d", i%2, i)
	}
	g.HalvingElems = 0
	m.choose(&g, byHost(m.workers))
	if !slices.Equal(g.Hosts, []int{4, 4}) || g.HalvingElems != 0 || !strings.HasPrefix(g.AllReduce, "two-level: 4 lanes between 2 hosts, 8 members") {
		t.Errorf("hosts of %v, up to %d elements: %s", g.Hosts, g.HalvingElems, g.AllReduce)
	}
	m.Step(m.now, Heard{Worker: "w3", Apart: true})
	m.Step(m.now, Heard{Worker: "w3"}) // says nothing of it
	g.Hosts = nil
	m.choose(&g, byHost(m.workers))
	if len(g.Hosts) > 0 || strings.Contains(g.AllReduce, "two-level") {
		t.Errorf("of members in containers hosts of %v: %s", g.Hosts, g.AllReduce)
	}
	for _, w := range m.workers {
		w.address = "host:" + w.id
	}
	m.config.Elems, g.AllReduce = 0, ""
	m.choose(&g, m.workers)
	if !slices.Equal(g.Hosts, []int{8}) || g.AllReduce != "" {
		t.Errorf("hosts of %v: %s", g.Hosts, g.AllReduce)
	}
}
