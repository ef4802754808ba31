package worker

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"github.com/ddpm-cluster/ddpm-cluster/allreduce"
	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
)

// stripes is how many members a state is fetched from at once, at most.
const stripes = 4

// stallLimit is how long a fetch may bring nothing.
const stallLimit = 30 * time.Second

// fetchError says that other members did not give what this one lacks: the
// coordinator decides what next.
type fetchError struct{ error }

// Unwrap gives what the fetch failed of.
func (e fetchError) Unwrap() error { return e.error }

// source is a member that has what others lack.
type source struct {
	address string
	conn    *grpc.ClientConn
	client  ddpmv1.PeerClient
}

// sources connects to those of the members that this one knows that have the
// generation's state, and, if asked for, the gradient of the step before.
func (g *generation) sources(gradient bool, limit int) ([]source, error) {
	var out []source
	for _, m := range g.assignment.GetGeneration().GetMembers() {
		if m.GetLack() != ddpmv1.Lack_LACK_NOTHING || gradient && !m.GetHasGradient() || len(out) == limit {
			continue
		}
		conn, err := grpc.NewClient(m.GetRingAddress(), grpc.WithTransportCredentials(g.security(m.GetWorkerId())), allreduce.Reach(),
			grpc.WithInitialWindowSize(1<<24), grpc.WithInitialConnWindowSize(1<<24), grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(8<<20)))
		if err != nil {
			return out, fetchError{fmt.Errorf("reach the member at %s: %w", m.GetRingAddress(), err)}
		}
		out = append(out, source{m.GetRingAddress(), conn, ddpmv1.NewPeerClient(conn)})
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("generation %d has no member to take the state from; use the same version on both sides", g.number)
	}
	return out, nil
}

func closeAll(sources []source) {
	for _, s := range sources {
		_ = s.conn.Close() // only fails when it is closed
	}
}

// fetchGradient sets grad to the result of the step that ends at the generation's
// start, and returns its totals.
func (t *trainer) fetchGradient(g *generation) (tail, error) {
	sources, err := g.sources(true, stripes)
	defer closeAll(sources)
	if err != nil {
		return tail{}, err
	}
	var totals tail
	lanes, err := t.fetchAny(g, sources, 0, ddpmv1.Vector_VECTOR_GRADIENT, 0, t.out())
	if err == nil && copy(totals[:], lanes) != laneCount {
		err = fetchError{fmt.Errorf("a member gives %d totals of a step, not %d", len(lanes), laneCount)}
	}
	return totals, err
}

// fetchState fills the state, striped over members.
func (t *trainer) fetchState(g *generation) error {
	sources, err := g.sources(false, stripes)
	defer closeAll(sources)
	if err != nil {
		return err
	}
	began := time.Now()
	var group errgroup.Group
	var totals []int64 // as the first source has them, of the weights' first chunk
	n := len(t.sum)
	for i := range sources {
		lo, hi := i*n/len(sources), (i+1)*n/len(sources)
		for _, v := range []struct {
			vector ddpmv1.Vector
			to     []float32
		}{
			{ddpmv1.Vector_VECTOR_WEIGHTS, t.state.Weights}, {ddpmv1.Vector_VECTOR_M, t.state.M},
			{ddpmv1.Vector_VECTOR_V, t.state.V}, {ddpmv1.Vector_VECTOR_EMA, t.state.EMA},
		} {
			group.Go(func() error {
				lanes, err := t.fetchAny(g, sources, i, v.vector, lo, v.to[lo:hi])
				if i == 0 && v.vector == ddpmv1.Vector_VECTOR_WEIGHTS {
					totals = lanes
				}
				return err
			})
		}
	}
	if err := group.Wait(); err != nil {
		return err
	}
	if len(totals) == laneCount {
		t.stateMu.Lock()
		t.totals, t.totalsOf = tail(totals), g.startStep()
		t.stateMu.Unlock()
	}
	t.log.Info("fetched the state", "step", g.startStep(), "from", len(sources), "seconds", time.Since(began).Seconds())
	return nil
}

// fetchAny fetches from a source, and from the others in turn where that one does
// not give it: this member may not reach it, though all others do.
func (t *trainer) fetchAny(g *generation, sources []source, first int, vector ddpmv1.Vector, offset int, dst []float32) (lanes []int64, err error) {
	for i := range sources {
		s := sources[(first+i)%len(sources)]
		lanes, one := t.fetch(g, s, vector, offset, dst)
		if one == nil {
			return lanes, nil
		}
		if g.ctx.Err() != nil {
			return nil, one
		}
		t.log.Warn("a member does not give its state", "generation", g.number, "address", s.address, "reason", one)
		if err == nil {
			err = one
		} else {
			err = fmt.Errorf("%w; %w", err, one)
		}
	}
	return nil, err
}

// fetch fills dst with a vector's elements from offset on.
func (t *trainer) fetch(g *generation, s source, vector ddpmv1.Vector, offset int, dst []float32) (lanes []int64, err error) {
	defer func() {
		if err != nil {
			err = fetchError{fmt.Errorf("fetch the state of step %d from the member at %s: %w", g.startStep(), s.address, err)}
		}
	}()
	ctx, cancel := context.WithCancelCause(g.ctx)
	defer cancel(nil)
	stalled := time.AfterFunc(stallLimit, func() { cancel(fmt.Errorf("nothing came for %s", stallLimit)) })
	defer stalled.Stop()
	stream, err := s.client.Fetch(ctx, &ddpmv1.FetchRequest{
		RunId: t.run.id, Generation: g.number, Step: g.startStep(),
		Vector: vector, Offset: uint64(offset), Count: uint64(len(dst)),
	})
	if err != nil {
		return nil, err
	}
	for done := 0; ; {
		chunk, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			if done < len(dst) {
				return nil, fmt.Errorf("it ended after %d of %d elements", done, len(dst))
			}
			return lanes, nil
		}
		if err != nil {
			return nil, errors.Join(err, context.Cause(ctx))
		}
		stalled.Reset(stallLimit)
		b := chunk.GetData()
		if len(b)%4 != 0 || len(b)/4 > len(dst)-done || castagnoli(b) != chunk.GetCrc32C() {
			return nil, fmt.Errorf("a chunk of %d bytes is damaged, or more than was asked for", len(b))
		}
		if done == 0 {
			lanes = chunk.GetTail()
		}
		for i := range len(b) / 4 {
			dst[done+i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
		}
		done += len(b) / 4
	}
}
