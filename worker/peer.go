package worker

import (
	"encoding/binary"
	"hash/crc32"
	"math"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
)

const (
	// chunkElems is how many elements a chunk brings: 1 MiB.
	chunkElems = 1 << 18
	// serveLimit is how long a fetch waits for a state that is just being made.
	serveLimit = 20 * time.Second
	// noStep is the step of a state that is none.
	noStep = math.MaxUint64
)

// castagnoli is CRC-32C.
func castagnoli(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

// peerServer answers other members' fetches.
type peerServer struct {
	ddpmv1.UnimplementedPeerServer
	// trainer returns the training loop, nil before there is one.
	trainer func() *trainer
}

// Fetch implements ddpmv1.PeerServer.
func (s *peerServer) Fetch(r *ddpmv1.FetchRequest, stream ddpmv1.Peer_FetchServer) error {
	t := s.trainer()
	if t == nil || r.GetRunId() != t.run.id {
		return status.Errorf(codes.FailedPrecondition, "this worker is not in run %q", r.GetRunId())
	}
	n := uint64(len(t.sum))
	if r.GetOffset() > n || r.GetCount() > n-r.GetOffset() {
		return status.Errorf(codes.InvalidArgument, "elements %d to %d of %d", r.GetOffset(), r.GetOffset()+r.GetCount(), n)
	}
	if err := t.await(stream, r.GetStep()); err != nil {
		return err
	}
	buffer := make([]byte, 4*min(chunkElems, r.GetCount()))
	for done := uint64(0); done < r.GetCount(); {
		count := min(chunkElems, r.GetCount()-done)
		b := buffer[:4*count]
		tail, err := t.read(r, r.GetOffset()+done, b)
		if err != nil {
			return err
		}
		chunk := &ddpmv1.FetchChunk{Data: b, Crc32C: castagnoli(b)}
		if done == 0 {
			chunk.Tail = tail
		}
		if err := stream.Send(chunk); err != nil {
			return err
		}
		done += count
	}
	return nil
}

// await waits until the state has seen so many steps.
func (t *trainer) await(stream ddpmv1.Peer_FetchServer, step uint64) error {
	timer := time.NewTimer(serveLimit)
	defer timer.Stop()
	for {
		t.stateMu.RLock()
		there, moved := t.state != nil && t.state.Step == step, t.moved
		t.stateMu.RUnlock()
		if there {
			return nil
		}
		select {
		case <-moved:
		case <-timer.C:
			return status.Errorf(codes.FailedPrecondition, "this worker is not at step %d", step)
		case <-stream.Context().Done():
			return status.FromContextError(stream.Context().Err()).Err()
		}
	}
}

// read copies elements from offset on, as they are at the requested step.
func (t *trainer) read(r *ddpmv1.FetchRequest, offset uint64, dst []byte) ([]int64, error) {
	t.stateMu.RLock()
	defer t.stateMu.RUnlock()
	if t.state.Step != r.GetStep() {
		return nil, status.Errorf(codes.FailedPrecondition, "this worker has left step %d", r.GetStep())
	}
	var from []float32
	switch r.GetVector() {
	case ddpmv1.Vector_VECTOR_WEIGHTS:
		from = t.state.Weights
	case ddpmv1.Vector_VECTOR_M:
		from = t.state.M
	case ddpmv1.Vector_VECTOR_V:
		from = t.state.V
	case ddpmv1.Vector_VECTOR_EMA:
		from = t.state.EMA
	case ddpmv1.Vector_VECTOR_GRADIENT:
		if t.gradientOf != r.GetStep() {
			return nil, status.Errorf(codes.FailedPrecondition, "this worker does not have the gradient of step %d", r.GetStep())
		}
		from = t.reduced
	default:
		return nil, status.Errorf(codes.InvalidArgument, "no vector %d", r.GetVector())
	}
	for i := range len(dst) / 4 {
		binary.LittleEndian.PutUint32(dst[4*i:], math.Float32bits(from[offset+uint64(i)]))
	}
	if t.totalsOf != r.GetStep() {
		return nil, nil
	}
	return slices.Clone(t.totals[:]), nil
}
