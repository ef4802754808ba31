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
// by one at most. With more workers than shards the last ones get none, and
// still stand in the ring.
func deal(shards int, workers []worker) []Member {
	members := make([]Member, len(workers))
	for i, w := range workers {
		first, next := i*shards/len(workers), (i+1)*shards/len(workers)
		members[i] = Member{Worker: w.id, Address: w.address, FirstShard: first, Shards: next - first}
	}
	return members
}
