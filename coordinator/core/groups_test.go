package core

import (
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
)

func TestDealGroups(t *testing.T) {
	t.Parallel()
	two := func(place, next int) Seat { return Seat{Place: place, Size: 2, Next: next, Before: next} }
	four := func(place, next, before int) Seat { return Seat{Place: place, Size: 4, Next: next, Before: before} }
	hosts := map[string][]string{"cut between hosts": {"a", "a", "b", "b", "b", "b"}}
	for _, v := range []struct {
		name           string
		shards, groups int
		rates          []float64
		want           []dealt
	}{
		{"one has all", 8, 2, []float64{1}, []dealt{{0, 8, Seat{}}}},
		{"a group each", 8, 2, []float64{1, 1}, []dealt{{0, 4, Seat{}}, {4, 4, Seat{}}}},
		{"groups by rates", 8, 4, []float64{3, 1}, []dealt{{0, 6, Seat{}}, {6, 2, Seat{}}}},
		{"two in a group", 8, 2, []float64{1, 1, 1}, []dealt{{0, 2, two(0, 1)}, {2, 2, two(1, 0)}, {4, 4, Seat{}}}},
		{"two in each", 8, 2, []float64{3, 1, 3, 1}, []dealt{{0, 3, two(0, 1)}, {3, 1, two(1, 0)}, {4, 3, two(0, 3)}, {7, 1, two(1, 2)}}},
		{"a fast one is a group", 8, 2, []float64{1, 1, 2}, []dealt{{0, 2, two(0, 1)}, {2, 2, two(1, 0)}, {4, 4, Seat{}}}},
		{"who leaves has nothing", 8, 2, []float64{1, -1, 1, 1, 1}, []dealt{{0, 2, two(0, 2)}, {}, {2, 2, two(1, 0)}, {4, 2, two(0, 4)}, {6, 2, two(1, 3)}}},
		{"somebody must", 4, 2, []float64{-1, -1}, []dealt{{0, 2, Seat{}}, {2, 2, Seat{}}}},
		{"cut between hosts", 8, 2, []float64{1, 1, 1, 1, 1, 1}, []dealt{{0, 2, two(0, 1)}, {2, 2, two(1, 0)}, {4, 1, four(0, 3, 5)}, {5, 1, four(1, 4, 2)}, {6, 1, four(2, 5, 3)}, {7, 1, four(3, 2, 4)}}},
		{"more than shards", 4, 2, []float64{1, 1, 1, 1, 1, 1}, []dealt{{0, 1, two(0, 1)}, {1, 1, two(1, 0)}, {2, 0, Seat{}}, {2, 1, two(0, 4)}, {3, 1, two(1, 3)}, {4, 0, Seat{}}}},
	} {
		at := hosts[v.name]
		if at == nil {
			at = make([]string, len(v.rates))
		}
		if got := dealGroups(v.shards, v.groups, v.rates, at); !reflect.DeepEqual(got, v.want) {
			t.Errorf("%s: %v, want %v", v.name, got, v.want)
		}
	}
}

// Whatever the rates: every shard is dealt once, whoever has part of a group has nothing
// else, and those who have its parts are its ring.
func TestDealtGroupsAreWhole(t *testing.T) {
	t.Parallel()
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 4))
		groups := 1 + r.IntN(6)
		n := 1 + r.IntN(5)
		rates := make([]float64, 1+r.IntN(14))
		for i := range rates {
			rates[i] = []float64{0, -1, 1, 10 * r.Float64()}[r.IntN(4)]
		}
		hosts := make([]string, len(rates))
		for i := range hosts {
			hosts[i] = []string{"", "a", "b"}[r.IntN(3)]
		}
		deal := dealGroups(n*groups, groups, levelled(rates), hosts)
		if again := dealGroups(n*groups, groups, levelled(rates), hosts); !reflect.DeepEqual(deal, again) {
			t.Fatalf("seed %d: %v, and then %v", seed, deal, again)
		}
		var all []int
		parts := make([][]int, groups) // of each group, by whom
		for i, d := range deal {
			for s := range d.shards {
				shard := d.first + s
				all = append(all, shard)
				if group := shard / n; !slices.Contains(parts[group], i) {
					parts[group] = append(parts[group], i)
				}
			}
			if d.seat.Size == 0 && (d.first%n != 0 || d.shards%n != 0) && d.shards > 0 {
				t.Fatalf("seed %d: worker %d of %v has part of a group alone: %+v", seed, i, rates, d)
			}
			if d.seat.Size > 0 && (d.shards == 0 || d.first/n != (d.first+d.shards-1)/n) {
				t.Fatalf("seed %d: worker %d of %v has a seat, and shards of none or of several groups: %+v", seed, i, rates, d)
			}
		}
		slices.Sort(all)
		if len(all) != n*groups || len(slices.Compact(slices.Clone(all))) != len(all) || all[0] != 0 || all[len(all)-1] != n*groups-1 {
			t.Fatalf("seed %d: shards %v of %d", seed, all, n*groups)
		}
		for group, by := range parts {
			for place, worker := range by {
				want := Seat{Place: place, Size: len(by), Next: by[(place+1)%len(by)], Before: by[(place+len(by)-1)%len(by)]}
				if len(by) == 1 {
					want = Seat{}
				}
				if got := deal[worker].seat; got != want {
					t.Fatalf("seed %d: group %d is by %v, and worker %d's seat is %+v, want %+v", seed, group, by, worker, got, want)
				}
			}
		}
	}
}

// No other cuts between the groups let the slowest be done sooner.
func TestGroupsAreCutBest(t *testing.T) {
	t.Parallel()
	for seed := range uint64(500) {
		r := rand.New(rand.NewPCG(seed, 5))
		groups, n := 2+r.IntN(2), 1+r.IntN(9)
		rates := make([]float64, groups+1+r.IntN(5))
		for i := range rates {
			rates[i] = 1 + 9*r.Float64()
		}
		slowest := func(cuts []int) float64 {
			most, from := 0.0, 0
			for _, to := range cuts {
				if to <= from {
					return math.Inf(1)
				}
				most = max(most, longest(counts(n, rates[from:to], make([]int, to-from)), rates[from:to]))
				from = to
			}
			return most
		}
		hosts := r.Uint64()
		other := func(i int) bool { return hosts>>i&1 > 0 }
		cut := divide(n, groups, rates, other)
		got := slowest(cut)
		for a := 1; a < len(rates); a++ {
			others := [][]int{{a, len(rates)}}
			if groups == 3 {
				others = nil
				for b := a + 1; b < len(rates); b++ {
					others = append(others, []int{a, b, len(rates)})
				}
			}
			for _, other := range others {
				if best := slowest(other); best < got*(1-1e-9) {
					t.Fatalf("seed %d: %d shards a group, rates %v: cut at %v it takes %v, at %v %v", seed, n, rates, cut, got, other, best)
				}
			}
		}
	}
}
