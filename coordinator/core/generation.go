package core

// Source is where the state at a generation's start comes from.
type Source int

// The sources.
const (
	// FromInitial makes the initial weights, a function of the run's config.
	FromInitial Source = iota
	// FromCheckpoint loads the checkpoint of the start.
	FromCheckpoint
	// FromMembers fetches what a member lacks from those that have it.
	FromMembers
)

// Lack is what a member lacks of the state at the start, where it comes from the
// members.
type Lack int

// What can be lacking.
const (
	LackNothing Lack = iota
	// LackGradient: it has the state of the step before.
	LackGradient
	LackState
)

// Member is a worker in a generation, with the shards that it computes:
// [FirstShard, FirstShard+Shards), in the first step Kept and Extra.
type Member struct {
	Worker, Address    string
	FirstShard, Shards int
	// Kept are shards whose gradients it has or is computing, Extra those that it
	// computes besides.
	Kept, Extra []int `json:",omitempty"`
	Lack        Lack  `json:",omitempty"`
	// HasGradient says that it has the reduced gradient of the step before.
	HasGradient bool `json:",omitempty"`
	// Seat is its place where it computes part of a group, with others.
	Seat Seat `json:",omitzero"`
}

// Generation is a numbered membership, in ring order.
type Generation struct {
	Number  uint64
	Members []Member
	// StartStep counts the steps that are complete when it begins; it trains until
	// LastStep are.
	StartStep, LastStep uint64
	CheckpointEvery     uint64
	// SaveAtStart asks for a checkpoint of StartStep.
	SaveAtStart bool
	Source      Source
	Reason      string
	// HalvingElems is up to how many elements a bucket goes by halving, 0: none does;
	// AllReduce says why, as part of a sentence.
	HalvingElems int    `json:",omitempty"`
	AllReduce    string `json:",omitempty"`
	// Hosts are how many members are at each host, in ring order, where they are to
	// reduce through shared memory: see allreduce.Hosts.
	Hosts []int `json:",omitempty"`
}

// member returns the member that a worker is, nil if it is none.
func (g *Generation) member(worker string) *Member {
	for i := range g.Members {
		if g.Members[i].Worker == worker {
			return &g.Members[i]
		}
	}
	return nil
}
