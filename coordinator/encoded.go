package coordinator

import (
	"fmt"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
)

// encoded is a generation as it stands in every member's Assignment. A thousand
// members are told of a thousand members: encoding each list anew would be most of
// what a coordinator does in a change.
type encoded struct {
	number     uint64
	generation []byte // the field of Assignment, with its tag
}

// parcel is an encoded message, for the codec of the sessions' server.
type parcel mem.BufferSlice

// The numbers of the fields that parcels have.
const (
	fieldTerm         = 1 // of CoordinatorMessage
	fieldAssignment   = 3
	fieldGeneration   = 1 // of Assignment
	fieldRank         = 2
	fieldReportedStep = 3
)

func encode(number uint64, g *ddpmv1.Generation) encoded {
	b := protowire.AppendTag(nil, fieldGeneration, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(proto.Size(g)))
	b, err := proto.MarshalOptions{UseCachedSize: true}.MarshalAppend(b, g)
	if err != nil { // of a string that is no UTF-8
		panic(fmt.Sprintf("coordinator: encode generation %d: %v", number, err))
	}
	return encoded{number, b}
}

// assignment is a CoordinatorMessage with a member's Assignment. All have the
// generation's bytes in common.
func (e encoded) assignment(term uint64, rank int, reported uint64) parcel {
	tail := protowire.AppendVarint(protowire.AppendTag(nil, fieldRank, protowire.VarintType), uint64(rank))
	tail = protowire.AppendVarint(protowire.AppendTag(tail, fieldReportedStep, protowire.VarintType), reported)
	head := protowire.AppendVarint(protowire.AppendTag(nil, fieldTerm, protowire.VarintType), term)
	head = protowire.AppendVarint(protowire.AppendTag(head, fieldAssignment, protowire.BytesType), uint64(len(e.generation)+len(tail)))
	return parcel{mem.SliceBuffer(head), mem.SliceBuffer(e.generation), mem.SliceBuffer(tail)}
}

// parcels is protobuf's codec, which takes parcels as they are.
type parcels struct{ encoding.CodecV2 }

func newParcels() parcels { return parcels{encoding.GetCodecV2("proto")} }

// Marshal implements encoding.CodecV2.
func (c parcels) Marshal(v any) (mem.BufferSlice, error) {
	if p, ok := v.(parcel); ok {
		return mem.BufferSlice(p), nil
	}
	return c.CodecV2.Marshal(v)
}
