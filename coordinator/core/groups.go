package core

import (
	"math"
	"slices"
)

// Seat is a member's place in the ring of a group of which others compute shards too: see
// ddpm.Local. Next and Before are the ranks in the generation of its neighbours there. The
// Size of none is 0.
type Seat struct {
	Place, Size, Next, Before int
}

// dealt is what a member is dealt in every step.
type dealt struct {
	first, shards int
	seat          Seat
}

// dealGroups deals shards that are cut into groups, each of equally many that follow one
// another, to workers by their rates, as levelled gives them. Whoever has part of a group
// has nothing else: it sums with those who have the rest, in each local step. Where there
// are no more workers than groups, each has whole ones. Otherwise the groups are those of
// workers that follow one another, so divided that the slowest group is as fast as can be;
// of these who is dealt no shard has no seat. hosts are the workers', empty where unknown.
func dealGroups(shards, groups int, rates []float64, hosts []string) []dealt {
	able, speed := able(rates)
	out, n := make([]dealt, len(rates)), shards/groups
	if len(able) <= groups {
		first := 0
		for i, whole := range counts(groups, speed, make([]int, len(able))) {
			out[able[i]] = dealt{first: first, shards: whole * n}
			first += whole * n
		}
		return out
	}
	other := func(i int) bool { return hosts[able[i]] == "" || hosts[able[i]] != hosts[able[i-1]] }
	from := 0
	for group, to := range divide(n, groups, speed, other) {
		dealWithin(group*n, n, able[from:to], speed[from:to], out)
		from = to
	}
	return out
}

// able are the workers that may be dealt something, and their rates: all alike, where no
// rate is above 0.
func able(rates []float64) (workers []int, speed []float64) {
	none := !slices.ContainsFunc(rates, func(r float64) bool { return r > 0 })
	for i, r := range rates {
		if none {
			r = 1
		}
		if r > 0 {
			workers, speed = append(workers, i), append(speed, r)
		}
	}
	return workers, speed
}

// dealWithin deals a group's n shards, from first on, to its workers, and seats them.
func dealWithin(first, n int, workers []int, rates []float64, out []dealt) {
	var seated []int
	for i, shards := range counts(n, rates, make([]int, len(rates))) {
		out[workers[i]] = dealt{first: first, shards: shards}
		first += shards
		if shards > 0 {
			seated = append(seated, workers[i])
		}
	}
	for place, worker := range seated {
		if size := len(seated); size > 1 {
			out[worker].seat = Seat{Place: place, Size: size, Next: seated[(place+1)%size], Before: seated[(place+size-1)%size]}
		}
	}
}

// divide cuts more workers than groups into as many runs of them as there are groups, each
// for n shards, and returns where each run ends. No other cuts let the slowest group be
// done sooner. Among those that do as well they are between hosts, where other says that
// there is one, and else near those that give each group as much of all rates.
func divide(n, groups int, rates []float64, other func(i int) bool) []int {
	within := fastest(n, groups, rates)
	latest := ends(n, groups, rates, within)
	total, sum := 0.0, 0.0
	for _, r := range rates {
		total += r
	}
	var cuts []int
	first, at := 0, 0
	for group := range groups - 1 {
		earliest := first
		for done := 0; done < n; earliest++ {
			done += computed(rates[earliest], within, n)
		}
		even := total * float64(group+1) / float64(groups)
		for at < len(rates) && sum+rates[at]/2 <= even {
			sum += rates[at]
			at++
		}
		first = nearest(at, earliest, latest[group], other)
		cuts = append(cuts, first)
	}
	return append(cuts, len(rates))
}

// nearest is the number in from … to that is nearest to at, of those that ok says are, or else
// of all.
func nearest(at, from, to int, ok func(i int) bool) int {
	at = min(max(at, from), to)
	for away := range to - from + 1 {
		if below := at - away; below >= from && ok(below) {
			return below
		}
		if above := at + away; above <= to && ok(above) {
			return above
		}
	}
	return at
}

// ends are where the runs of each group end at the latest, so that all groups are done
// within so many seconds.
func ends(n, groups int, rates []float64, within float64) []int {
	latest := make([]int, groups)
	at := len(rates)
	for group := groups - 1; group >= 0; group-- {
		latest[group] = at
		for done := 0; done < n && at > 0; at-- {
			done += computed(rates[at-1], within, n)
		}
	}
	return latest
}

// fastest is in how many seconds all groups can be done, to within the rounding of a
// float64.
func fastest(n, groups int, rates []float64) float64 {
	low, high := 0.0, float64(n)/slices.Min(rates)*(1+1e-9)
	for range 64 {
		middle := low + (high-low)/2
		if fits(n, groups, rates, middle) {
			high = middle
		} else {
			low = middle
		}
	}
	return high
}

// fits says that so many groups can be done within so many seconds.
func fits(n, groups int, rates []float64, within float64) bool {
	done := 0
	for _, r := range rates {
		if done += computed(r, within, n); done >= n {
			done = 0
			groups--
		}
	}
	return groups <= 0
}

// computed is how many of n shards a worker computes within so many seconds.
func computed(rate, within float64, n int) int {
	return int(math.Min(math.Floor(rate*within), float64(n)))
}

// shares counts the shards that members would be dealt that had such rates.
func (m *Machine) shares(members []Member, rates []float64) []int {
	rates = levelled(rates)
	if m.config.Groups == 0 {
		return counts(m.config.Shards, rates, make([]int, len(rates)))
	}
	n := make([]int, len(rates))
	for i, d := range dealGroups(m.config.Shards, m.config.Groups, rates, hostsOf(members)) {
		n[i] = d.shards
	}
	return n
}

// deal gives the members of a generation their shards. Where these are in groups, nobody
// keeps any of a step that is not complete: a group's local steps are of all of its shards,
// and end with the ring of those who compute them.
func (m *Machine) deal(members []Member, rates []float64, held [][]int) {
	if m.config.Groups == 0 {
		deal(m.config.Shards, members, rates, held)
		return
	}
	for i, d := range dealGroups(m.config.Shards, m.config.Groups, levelled(rates), hostsOf(members)) {
		members[i].FirstShard, members[i].Shards, members[i].Seat = d.first, d.shards, d.seat
		members[i].Extra = members[i].all()
	}
}

// hostsOf are the hosts at which members are reached.
func hostsOf(members []Member) []string {
	hosts := make([]string, len(members))
	for i, m := range members {
		hosts[i] = hostOf(m.Address)
	}
	return hosts
}

// all are the shards of a member's usual step.
func (m Member) all() (shards []int) {
	for s := range m.Shards {
		shards = append(shards, m.FirstShard+s)
	}
	return shards
}
