package coordinator

import (
	"testing"

	"google.golang.org/protobuf/proto"

	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
)

// Whatever a member says, and how often, the coordinator goes on: it takes in
// another worker after it. A run that a member's word alone may end is one that
// member has failed for all: its word counts for itself.
func FuzzSession(f *testing.F) {
	for _, m := range []*ddpmv1.WorkerMessage{
		{},
		{Body: &ddpmv1.WorkerMessage_Heartbeat{Heartbeat: &ddpmv1.Heartbeat{Generation: 1, Step: 3, ShardRate: 1e308}}},
		{Body: &ddpmv1.WorkerMessage_Available{Available: &ddpmv1.Available{}}},
		{Body: &ddpmv1.WorkerMessage_Ready{Ready: &ddpmv1.Ready{Generation: 1}}},
		{Body: &ddpmv1.WorkerMessage_Position{Position: &ddpmv1.Position{Generation: 1, HasState: true, Step: 2, Shards: []uint32{1, 1, 1 << 31}, Broke: "so", Unreachable: -7}}},
		{Body: &ddpmv1.WorkerMessage_Position{Position: &ddpmv1.Position{Generation: 1 << 60, HasState: true, Shards: []uint32{3}}}},
		{Body: &ddpmv1.WorkerMessage_Progress{Progress: &ddpmv1.Progress{Generation: 1, Step: 1, Loss: 0.5}}},
		{Body: &ddpmv1.WorkerMessage_PartSaved{PartSaved: &ddpmv1.PartSaved{Generation: 1, Step: 9}}},
		{Body: &ddpmv1.WorkerMessage_PartFailed{PartFailed: &ddpmv1.PartFailed{Generation: 1, Step: 9, Reason: "full"}}},
		{Body: &ddpmv1.WorkerMessage_Overflow{Overflow: &ddpmv1.Overflow{Step: 1, Tensor: "w"}}},
		{Body: &ddpmv1.WorkerMessage_Leaving{Leaving: &ddpmv1.Leaving{}}},
		{Body: &ddpmv1.WorkerMessage_Failure{Failure: &ddpmv1.Failure{Reason: "x"}}},
		{Body: &ddpmv1.WorkerMessage_Hello{Hello: &ddpmv1.Hello{}}},
	} {
		b, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, b)
	}
	f.Fuzz(func(t *testing.T, first, second []byte) {
		x := lead(t, nil)
		for _, b := range [][]byte{first, second, first} {
			m := new(ddpmv1.WorkerMessage)
			if proto.Unmarshal(b, m) != nil {
				return // grpc refuses it before
			}
			select {
			case x.events <- sessionEvent{from: x.worker, message: m}:
			case <-x.ended:
				t.Fatalf("the run has ended: %+v, %v", x.end, x.err)
			}
		}
		x.join("another")
	})
}
