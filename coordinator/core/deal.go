package core

// Member is a worker in a generation, with its shards
// [FirstShard, FirstShard+Shards).
type Member struct {
	Worker, Address    string
	FirstShard, Shards int
}

// Generation is a numbered membership, in ring order.
type Generation struct {
	Number  uint64
	Members []Member
	// StartStep counts the steps that are complete when it begins.
	StartStep uint64
	// FromCheckpoint says that members load the checkpoint of StartStep; otherwise
	// they make the initial state.
	FromCheckpoint bool
	Reason         string
}

// deal cuts the shards into contiguous ranges, one for each worker, that differ
// by one at most, the larger ones first. With more workers than shards the last
// ones get none, and still stand in the ring.
func deal(shards int, workers []worker) []Member {
	each, more := shards/len(workers), shards%len(workers)
	members := make([]Member, len(workers))
	first := 0
	for i, w := range workers {
		n := each
		if i < more {
			n++
		}
		members[i] = Member{Worker: w.id, Address: w.address, FirstShard: first, Shards: n}
		first += n
	}
	return members
}
