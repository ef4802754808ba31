package coordinator

import (
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/ddpm-cluster/ddpm-cluster/coordinator/core"
	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
)

// What the members of a generation are told is, byte for byte read, the message that
// it stands for, also where numbers are 0 and lists are empty.
func TestParcelsAreAssignments(t *testing.T) {
	t.Parallel()
	for _, g := range []core.Generation{
		{Number: 1, Members: []core.Member{{Worker: "w1", Address: "host:1", Shards: 1}}},
		{
			Number: 1 << 40, StartStep: 7, LastStep: 9, CheckpointEvery: 2, SaveAtStart: true, Source: core.FromMembers, Reason: "worker w3 was lost",
			Members: []core.Member{
				{Worker: "w1", Address: "host:1", FirstShard: 0, Shards: 300, Kept: []int{0, 299}, HasGradient: true},
				{Worker: "w2", Address: "host:2", FirstShard: 300, Shards: 4, Extra: []int{300, 301}, Lack: core.LackState},
			},
		},
	} {
		e := encode(g.Number, message(g))
		for rank := range g.Members {
			for _, n := range []uint64{0, 1 << 50} {
				sent, err := newParcels().Marshal(e.assignment(n, rank, n))
				if err != nil {
					t.Fatal(err)
				}
				got, want := new(ddpmv1.CoordinatorMessage), &ddpmv1.CoordinatorMessage{Term: n, Body: &ddpmv1.CoordinatorMessage_Assignment{Assignment: &ddpmv1.Assignment{
					Generation: message(g), Rank: uint32(rank), ReportedStep: n,
				}}}
				if err := proto.Unmarshal(sent.Materialize(), got); err != nil || !proto.Equal(got, want) {
					t.Errorf("generation %d, rank %d: %v (%v), want %v", g.Number, rank, got, err, want)
				}
			}
		}
	}
}
