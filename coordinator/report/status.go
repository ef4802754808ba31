package report

import (
	"cmp"
	"strings"
	"time"
)

// Status is a run as it is now. Durations are in seconds; what is not known yet is
// null.
type Status struct {
	Run string `json:"run"`
	// Version is the coordinator's.
	Version string `json:"version"`
	// At is the coordinator's time now, Started when it began to lead.
	At      time.Time `json:"at"`
	Started time.Time `json:"started"`
	// Phase is waiting, adopting, forming, training, changing, saving, paused or ended;
	// Reason is the coordinator's for it.
	Phase  string `json:"phase"`
	Reason string `json:"reason"`
	// Step is how many steps are complete, of Steps.
	Step  uint64 `json:"step"`
	Steps uint64 `json:"steps"`
	// Loss is the newest step's, LossMean that of about the last 30.
	Loss         Number `json:"loss"`
	LossMean     Number `json:"loss_mean"`
	GradientNorm Number `json:"gradient_norm"`
	LearningRate Number `json:"learning_rate"`
	// Skipped counts the steps since Started that changed nothing: their gradient
	// overflowed.
	Skipped uint64 `json:"skipped"`
	// Images is how many a step has; ImagesPerSecond, SecondsPerStep and Stages are
	// means of about the last 30 steps, by the clock of a worker.
	Images          uint32 `json:"images"`
	ImagesPerSecond Number `json:"images_per_second"`
	SecondsPerStep  Number `json:"seconds_per_step"`
	Stages          Stages `json:"stages"`
	// SliceLoss is the mean loss of the examples whose timestep is in a slice of [0, T),
	// over about the last 30 steps, a value for each of TimeSlices; null where nothing
	// is known.
	SliceLoss []Number `json:"slice_loss"`
	// StepAt is when the coordinator heard of the newest step; null before the first.
	StepAt *time.Time `json:"step_at"`
	// FlopsPerSecond are the multiplications and additions of the network, as its layers
	// define them, that the run makes in a second; PeakFlopsPerSecond what the members'
	// threads could make at most, each having measured its own; PeakShare is the one in
	// the other.
	FlopsPerSecond     Number `json:"flops_per_second"`
	PeakFlopsPerSecond Number `json:"peak_flops_per_second"`
	PeakShare          Number `json:"peak_share"`
	// SecondsLeft is how long the steps that remain take at the present rate.
	SecondsLeft Number `json:"seconds_left"`

	Generation uint64 `json:"generation"`
	// HalvingElems is up to how many elements a bucket of the gradient goes by halving, 0:
	// all go round the ring; AllReduce says so in words, and why; empty where a run has
	// no two members.
	HalvingElems int      `json:"halving_elems"`
	AllReduce    string   `json:"all_reduce,omitempty"`
	Workers      []Worker `json:"workers"`
	// Gone are the last workers that are not in the run any more, with the reason.
	Gone []Worker `json:"gone"`
	// History are the last generations.
	History []Generation `json:"history"`
	// Checkpoint is the newest, null before the first.
	Checkpoint *Checkpoint `json:"checkpoint"`
	// GivenUp counts the checkpoints since Started that did not come to be, LastGivenUp
	// says why the last of them did not.
	GivenUp     uint64 `json:"checkpoints_given_up"`
	LastGivenUp string `json:"checkpoint_given_up_reason,omitempty"`
	// Access is what has happened at the door, null with --insecure.
	Access *Access `json:"access,omitempty"`
	// Curve is there where it was asked for.
	Curve *Curve `json:"curve,omitempty"`
}

// Access is what has happened at the door since Started.
type Access struct {
	// Joined and Renewed are certificates given.
	Joined  uint64 `json:"joined"`
	Renewed uint64 `json:"renewed"`
	// Refused are handshakes, tokens, requests and calls that were not good, Limited
	// those that came too often.
	Refused uint64 `json:"refused"`
	Limited uint64 `json:"limited"`
}

// Stages is where a step's time goes, in seconds: computing gradients (of which input,
// forward and backward are parts), the all-reduce (with waiting for slower members),
// the update, and what a checkpoint takes of the training. Hidden is how much of the
// computing the all-reduce was under way in already; Reduce is the rest of it.
type Stages struct {
	Compute    Number `json:"compute"`
	Input      Number `json:"input"`
	Forward    Number `json:"forward"`
	Backward   Number `json:"backward"`
	Reduce     Number `json:"reduce"`
	Hidden     Number `json:"hidden"`
	Update     Number `json:"update"`
	Checkpoint Number `json:"checkpoint"`
}

// Place is where a worker runs.
type Place struct {
	RingAddress string `json:"ring_address"`
	Hostname    string `json:"hostname"`
	PID         uint32 `json:"pid"`
	Threads     uint32 `json:"threads"`
	CPULevel    string `json:"cpu_level"`
	// CoreFlopsPerSecond is what one of its cores makes at most, measured when it
	// began; 0: not known.
	CoreFlopsPerSecond float64 `json:"core_flops_per_second"`
}

// Worker is one worker's part of a run.
type Worker struct {
	ID string `json:"id"`
	Place
	// Step is how many steps it has completed.
	Step uint64 `json:"step"`
	// SeenSeconds is how long ago it gave a sign of life.
	SeenSeconds float64 `json:"seen_seconds"`
	// ShardRate is how many shards it computes in a second, Shards how many of each
	// step are its own: 0 for one that is no member.
	ShardRate float64 `json:"shard_rate"`
	Shards    int     `json:"shards"`
	// Rank is its place in the ring, -1 for one that is no member: it sends to the
	// next rank, the last to rank 0.
	Rank int `json:"rank"`
	// RingSentBytes is what it has sent there since it began, RingBytesPerSecond how
	// fast in its last all-reduce, waiting for others included; 0 where there was none.
	RingSentBytes      uint64  `json:"ring_sent_bytes"`
	RingBytesPerSecond float64 `json:"ring_bytes_per_second"`
	// LinkLatencySeconds and LinkBytesPerSecond are what it has measured of that link, one
	// way; 0: not known.
	LinkLatencySeconds float64 `json:"link_latency_seconds"`
	LinkBytesPerSecond float64 `json:"link_bytes_per_second"`
	// Gone is why it is not in the run any more, GoneAt since when.
	Gone   string     `json:"gone,omitempty"`
	GoneAt *time.Time `json:"gone_at,omitempty"`
}

// Generation is one that the run had.
type Generation struct {
	Number    uint64    `json:"number"`
	Members   int       `json:"members"`
	StartStep uint64    `json:"start_step"`
	Reason    string    `json:"reason"`
	At        time.Time `json:"at"`
}

// Checkpoint is one that is complete.
type Checkpoint struct {
	Step   uint64 `json:"step"`
	Digest string `json:"digest,omitempty"`
	// At is when it was complete.
	At *time.Time `json:"at,omitempty"`
	// Bytes is the size of what the workers stored of it, PublishSeconds how long it
	// took to complete once they had; 0 for one of an earlier coordinator.
	Bytes          int64   `json:"bytes,omitempty"`
	PublishSeconds float64 `json:"publish_seconds,omitempty"`
	// Picture says that it has one.
	Picture bool `json:"picture,omitempty"`
}

// ByNumber orders workers' names as people do: w2 before w10.
func ByNumber(a, b string) int {
	return cmp.Or(cmp.Compare(len(strings.TrimRight(a, digits)), len(strings.TrimRight(b, digits))), cmp.Compare(len(a), len(b)), cmp.Compare(a, b))
}

const digits = "0123456789"
