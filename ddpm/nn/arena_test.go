package nn

import (
	"math/rand/v2"
	"testing"
	"time"
)

// script is a pass: lengths to ask for, and negative numbers -k to give back what
// was asked for as the k-th, from 1 on.
type script []int

// randomScript asks for memory and gives it back in any order.
func randomScript(r *rand.Rand, calls int) script {
	var s script
	var held []int
	asked := 0
	for range calls {
		if len(held) > 0 && r.IntN(5) < 2 {
			i := r.IntN(len(held))
			s = append(s, -held[i])
			held = append(held[:i], held[i+1:]...)
			continue
		}
		asked++
		s, held = append(s, 1+r.IntN(300)), append(held, asked)
	}
	return s
}

// play runs a pass. Memory that somebody else was given too, while it was in use,
// is found by what was written to it.
func (s script) play(t *testing.T, a *arena) {
	t.Helper()
	type piece struct {
		number int
		memory []float32
	}
	var pieces []piece
	check := func(k int) {
		for _, v := range pieces[k].memory {
			if v != float32(k) {
				t.Fatalf("piece %d holds %v: piece %v has the same memory", k+1, v, v+1)
			}
		}
	}
	held := map[int]bool{}
	for _, call := range s {
		if call < 0 {
			check(-call - 1)
			delete(held, -call-1)
			a.free(pieces[-call-1].number, pieces[-call-1].memory)
			continue
		}
		number, memory := a.alloc(call)
		if len(memory) != call {
			t.Fatalf("asked for %d elements, got %d", call, len(memory))
		}
		for i := range memory {
			memory[i] = float32(len(pieces))
		}
		held[len(pieces)] = true
		pieces = append(pieces, piece{number, memory})
	}
	for k := range pieces {
		if held[k] {
			check(k)
		}
	}
}

// Whatever passes do, like the one before them or not, what is in use at the same
// time has memory of its own.
func TestArenaGivesNothingTwice(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	var a arena
	for range 200 {
		s := randomScript(r, 1+r.IntN(60))
		for range 1 + r.IntN(3) {
			s.play(t, &a)
			a.reset()
		}
		if len(s) > 1 { // the same, but for its end, or a part in the middle
			cut := r.IntN(len(s))
			s[:cut].play(t, &a)
			a.reset()
			s.play(t, &a)
			a.reset()
			from := s[:r.IntN(cut+1)]
			other := append(append(script(nil), from...), randomScript(r, 20).after(from)...)
			other.play(t, &a)
			a.reset()
		}
	}
}

// after moves on what a script gives back, for it to follow another.
func (s script) after(first script) script {
	asked := 0
	for _, call := range first {
		if call > 0 {
			asked++
		}
	}
	var moved script
	for _, call := range s {
		if call < 0 {
			call -= asked
		}
		moved = append(moved, call)
	}
	return moved
}

// From the second pass on everything lies in the slab, which is about as long as
// the most that is in use, and nothing is allocated.
func TestArenaServesByThePlan(t *testing.T) {
	var a arena
	// As a network: a row of layers each of which keeps something, and back.
	pass := func() {
		var numbers []int
		var kept [][]float32
		for k := range 40 {
			n, m := a.alloc(3000)
			tmp, large := a.alloc(9000 - 100*k)
			numbers, kept = append(numbers, n), append(kept, m)
			a.free(tmp, large)
		}
		for k := range kept {
			tmp, large := a.alloc(6000)
			last := len(kept) - 1 - k
			a.free(numbers[last], kept[last])
			a.free(tmp, large)
		}
	}
	for i := range 3 {
		pass()
		if planned := !a.astray; planned != (i > 0) {
			t.Errorf("pass %d: served by a plan: %v", i, planned)
		}
		if i > 0 && (len(a.slab) < a.most || len(a.slab) > a.most*11/10) {
			t.Errorf("a slab of %d elements for %d in use", len(a.slab), a.most)
		}
		if a.live != 0 {
			t.Errorf("%d elements are in use at the end", a.live)
		}
		if moved := a.reset(); moved != (i == 0) {
			t.Errorf("after pass %d the memory is another: %v", i, moved)
		}
	}
	number, memory := -1, []float32(nil)
	if n := testing.AllocsPerRun(10, func() {
		number, memory = a.alloc(3000)
		a.free(number, memory)
		a.reset()
	}); n > 2 { // it is no pass of the plan's kind the first time
		t.Errorf("%v allocations", n)
	}
}
