package core

import (
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
)

func TestLevelled(t *testing.T) {
	t.Parallel()
	for _, v := range []struct{ rates, want []float64 }{
		{nil, []float64{}},
		{[]float64{0, 0}, []float64{1, 1}},
		{[]float64{10, 11, 9}, []float64{10, 10, 10}},       // noise
		{[]float64{10, 0, 10}, []float64{10, 10, 10}},       // not known
		{[]float64{10, 10, 3}, []float64{10, 10, 3}},        // slow
		{[]float64{40, 10, 10}, []float64{40, 10, 10}},      // fast
		{[]float64{10, -1, 0, 4}, []float64{10, -1, 10, 4}}, // dealt nothing
	} {
		if got := levelled(v.rates); !slices.Equal(got, v.want) {
			t.Errorf("levelled(%v) is %v, want %v", v.rates, got, v.want)
		}
	}
}

func TestCounts(t *testing.T) {
	t.Parallel()
	for _, v := range []struct {
		n     int
		rates []float64
		base  []int
		want  []int
	}{
		{8, []float64{1, 1}, []int{0, 0}, []int{4, 4}},
		{8, []float64{1, 1, 1}, []int{0, 0, 0}, []int{3, 3, 2}},
		{2, []float64{1, 1, 1}, []int{0, 0, 0}, []int{1, 1, 0}},
		{8, []float64{3, 1}, []int{0, 0}, []int{6, 2}},
		{8, []float64{1000, 1}, []int{0, 0}, []int{8, 0}},
		{4, []float64{1, 1}, []int{3, 0}, []int{1, 3}},
		{3, []float64{-1, 1}, []int{0, 0}, []int{0, 3}},
		{3, []float64{-1, -1}, []int{0, 0}, []int{2, 1}}, // somebody must
		{0, []float64{1}, []int{5}, []int{0}},
	} {
		if got := counts(v.n, v.rates, v.base); !slices.Equal(got, v.want) {
			t.Errorf("counts(%d, %v, %v) is %v, want %v", v.n, v.rates, v.base, got, v.want)
		}
	}
}

// No other deal lets the slowest member end sooner.
func TestCountsAreBest(t *testing.T) {
	t.Parallel()
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 2))
		n, rates := r.IntN(9), []float64{1 + 9*r.Float64(), 1 + 9*r.Float64(), 1 + 9*r.Float64()}
		base := []int{r.IntN(4), r.IntN(4), r.IntN(4)}
		time := func(deal []int) float64 {
			return longest([]int{base[0] + deal[0], base[1] + deal[1], base[2] + deal[2]}, rates)
		}
		got := time(counts(n, rates, base))
		for a := range n + 1 {
			for b := range n - a + 1 {
				if other := []int{a, b, n - a - b}; time(other) < got {
					t.Fatalf("seed %d: %d shards to %v beside %v take %v, and %v takes %v", seed, n, rates, base, got, other, time(other))
				}
			}
		}
	}
}

func TestClaim(t *testing.T) {
	t.Parallel()
	for _, v := range []struct {
		name    string
		held    [][]int
		missing []int
		kept    [][]int
	}{
		{"nobody holds any", [][]int{nil, nil}, []int{0, 1, 2, 3}, [][]int{nil, nil}},
		{"each holds its own", [][]int{{0, 1}, {2, 3}}, nil, [][]int{{0, 1}, {2, 3}}},
		{"one is missing", [][]int{{0}, {3}}, []int{1, 2}, [][]int{{0}, {3}}},
		{"the second has one of the first's: a sum can't be taken apart", [][]int{{0, 1}, {1, 2}}, []int{2, 3}, [][]int{{0, 1}, nil}},
		{"there is no such shard", [][]int{{0, 4}, {-1}}, []int{0, 1, 2, 3}, [][]int{nil, nil}},
	} {
		missing, kept := claim(4, v.held)
		if !slices.Equal(missing, v.missing) || !reflect.DeepEqual(kept, v.kept) {
			t.Errorf("%s: missing %v, kept %v, want %v, %v", v.name, missing, kept, v.missing, v.kept)
		}
	}
}

// Whatever members hold, and whatever they make up, each shard of a step is
// computed once: in the first step and in the others.
func TestDealIsWhole(t *testing.T) {
	t.Parallel()
	for seed := range uint64(500) {
		r := rand.New(rand.NewPCG(seed, 3))
		shards, members := 1+r.IntN(12), make([]Member, 1+r.IntN(5))
		rates, held := make([]float64, len(members)), make([][]int, len(members))
		for i := range members {
			rates[i] = []float64{0, -1, 1, 10 * r.Float64()}[r.IntN(4)]
			for range r.IntN(4) {
				held[i] = append(held[i], r.IntN(shards+1)-r.IntN(2))
			}
		}
		deal(shards, members, rates, held)
		var first, usual []int
		for i, m := range members {
			first = append(append(first, m.Kept...), m.Extra...)
			for s := range m.Shards {
				usual = append(usual, m.FirstShard+s)
			}
			if m.Kept != nil && !slices.Equal(m.Kept, held[i]) {
				t.Fatalf("seed %d: member %d holds %v and keeps %v", seed, i, held[i], m.Kept)
			}
		}
		for name, got := range map[string][]int{"the first step": first, "the usual one": usual} {
			slices.Sort(got)
			if len(got) != shards || got[0] != 0 || got[shards-1] != shards-1 || len(slices.Compact(slices.Clone(got))) != shards {
				t.Fatalf("seed %d: %s has the shards %v of %d: %+v", seed, name, got, shards, members)
			}
		}
	}
}

// One worker that is three times slower than seven others costs at most a tenth of
// what all of them could do together, where there are shards enough to deal: about
// nine for each.
func TestASlowWorkerCostsATenth(t *testing.T) {
	rates := []float64{12, 12, 12, 4, 12, 12, 12, 12}
	sum := 0.0
	for _, r := range rates {
		sum += r
	}
	for shards := 64; shards <= 1024; shards++ {
		members := make([]Member, len(rates))
		deal(shards, members, rates, make([][]int, len(rates)))
		dealt := make([]int, len(rates))
		for i, m := range members {
			dealt[i] = m.Shards
		}
		if ideal, is := float64(shards)/sum, longest(dealt, rates); ideal < 0.9*is {
			t.Errorf("%d shards: a step takes %.3f s, and all together could do it in %.3f s", shards, is, ideal)
		}
	}
}
