package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"net"
	"os/exec"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/ddpm-cluster/ddpm-cluster/allreduce"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/rng"
	"github.com/ddpm-cluster/ddpm-cluster/internal/hugepages"
)

// ringFarewell is how long a member waits for others to hear that its links have ended.
const ringFarewell = 2 * time.Second

// ringProcess is a member's process, seen from the one that started it.
type ringProcess struct {
	cmd    *exec.Cmd
	in     *json.Encoder
	out    *json.Decoder
	stderr bytes.Buffer
}

// startRingProcess starts a member, which dies with ctx.
func startRingProcess(ctx context.Context, program string, args ...string) (*ringProcess, error) {
	p := &ringProcess{cmd: exec.CommandContext(ctx, program, args...)}
	p.cmd.Stderr = &p.stderr
	in, err := p.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.in, p.out = json.NewEncoder(in), json.NewDecoder(out)
	return p, p.cmd.Start()
}

// waitAll waits until all members have ended, and tells what those that failed said.
func waitAll(members []*ringProcess) error {
	var failed []error
	for rank, m := range members {
		if err := m.cmd.Wait(); err != nil {
			failed = append(failed, fmt.Errorf("member %d: %w: %s", rank, err, strings.TrimSpace(m.stderr.String())))
		}
	}
	return errors.Join(failed...)
}

// ringReport is what a member found.
type ringReport struct {
	// Seconds is how long each timed step took.
	Seconds []float64
	// Sent is the bytes that it sent in one step.
	Sent int64
	// Hidden is the share of the all-reduce that was under way during compute.
	Hidden float64
	// CPU is what the timed steps took of the processors, in seconds.
	CPU float64
	// Memory says that it reduced through shared memory.
	Memory bool
	// Checksum is the CRC-32C of the result.
	Checksum uint32
}

// countedLink counts what is sent over a Link.
type countedLink struct {
	allreduce.Link
	sent int64
}

// Send counts and sends.
func (l *countedLink) Send(ctx context.Context, s *allreduce.Segment) error {
	l.sent += int64(s.Len())
	return l.Link.Send(ctx, s)
}

// member is one process of the ring: it reads its certificate if it is to have one,
// writes its address, reads all addresses, and writes its report.
func (b ringBench) member(ctx context.Context, stdin io.Reader, stdout io.Writer) error {
	in := json.NewDecoder(stdin)
	serving, dialing := insecure.NewCredentials(), insecure.NewCredentials()
	if b.tls {
		var err error
		if serving, dialing, err = readCertificate(in); err != nil {
			return err
		}
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(b.address, "0"))
	if err != nil {
		return err
	}
	server, g := allreduce.NewServer(slog.New(slog.DiscardHandler)), grpc.NewServer(append(allreduce.ServerOptions(), grpc.Creds(serving))...)
	server.Register(g)
	var group sync.WaitGroup
	group.Go(func() { _ = g.Serve(listener) }) // Connect tells of a server that is gone
	defer func() {
		server.Close()
		// A member that is not done yet must hear that its link ended in peace before its
		// connection does.
		defer time.AfterFunc(ringFarewell, g.Stop).Stop()
		g.GracefulStop()
		group.Wait()
	}()
	// Before the address: when all are known, all are ready.
	brought, err := b.brings()
	if err != nil {
		return err
	}
	if err := json.NewEncoder(stdout).Encode(listener.Addr().String()); err != nil {
		return fmt.Errorf("write the address: %w", err)
	}
	var addresses []string
	if err := in.Decode(&addresses); err != nil {
		return fmt.Errorf("read the addresses: %w", err)
	}
	m := allreduce.Member{Run: allreduce.NewRunTag("bench", ""), Generation: 1, Rank: b.rank, World: b.world}
	if err := m.Validate(); err != nil {
		return err
	}
	if len(addresses) != b.world {
		return fmt.Errorf("%d addresses for a ring of %d", len(addresses), b.world)
	}
	link, err := allreduce.Connect(ctx, server, m, addresses[m.Successor().Rank], grpc.WithTransportCredentials(dialing))
	if err != nil {
		return err
	}
	var others []allreduce.Link
	if b.halvingElems() > 0 && b.world > 1 {
		others, err = allreduce.ConnectPartners(ctx, server, m, func(rank int) (string, []grpc.DialOption) {
			return addresses[rank], []grpc.DialOption{grpc.WithTransportCredentials(dialing)}
		})
		if err != nil {
			return errors.Join(err, link.Close(err))
		}
	}
	if b.shares() {
		hosts := b.hostSizes()
		if _, next, ok := hosts.LaneNeighbours(b.rank); ok {
			lane, err := allreduce.ConnectLane(ctx, server, m, hosts, addresses[next], grpc.WithTransportCredentials(dialing))
			if err != nil {
				return errors.Join(err, link.Close(err))
			}
			others = append(others, lane)
		}
	}
	report, err := b.time(ctx, m, link, others, brought)
	if err != nil {
		return err
	}
	return json.NewEncoder(stdout).Encode(report)
}

// time makes the steps.
func (b ringBench) time(ctx context.Context, m allreduce.Member, link allreduce.Link, others []allreduce.Link, brought brought) (r ringReport, err error) {
	var all []*countedLink
	count := func(l allreduce.Link) allreduce.Link {
		all = append(all, &countedLink{Link: l})
		return all[len(all)-1]
	}
	if link != nil {
		link = count(link)
	}
	for i, l := range others {
		others[i] = count(l)
	}
	cfg := allreduce.Config{Member: m, HalvingElems: b.halvingElems(), Sums: brought.sums}
	if b.shares() {
		cfg.Hosts = b.hostSizes()
	}
	ring, err := allreduce.NewRing(cfg, link, others...)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, ring.Close(err)) }()
	if b.shares() {
		if err := ring.Share(ctx); err != nil && !errors.Is(err, allreduce.ErrApart) {
			return r, err
		}
	}
	r.Memory = ring.Shared()
	v := brought.to(ring)
	var before float64
	var hidden, reduced time.Duration
	for step := range b.steps + 1 {
		if step == 1 { // the first has filled the pools
			before = cpuSeconds()
		}
		for _, l := range all {
			l.sent = 0
		}
		start := time.Now()
		one, err := b.step(ctx, ring, uint64(step), v)
		if err != nil {
			return r, err
		}
		r.Seconds = append(r.Seconds, time.Since(start).Seconds())
		if step > 0 {
			hidden, reduced = hidden+one.hidden, reduced+one.hidden+one.exposed
		}
	}
	if reduced > 0 {
		r.Hidden = hidden.Seconds() / reduced.Seconds()
	}
	r.Seconds, r.CPU = r.Seconds[1:], cpuSeconds()-before
	for _, l := range all {
		r.Sent += l.sent
	}
	r.Checksum = checksum(v.Out)
	return r, nil
}

// reduced is how long an all-reduce took during compute and after it.
type reduced struct{ hidden, exposed time.Duration }

// step computes and reduces as a worker does: forward sleeps, and backward releases the
// vector from its end on, a bucket when its time has come. The all-reduce itself may
// take the processor, so times are those of the step's clock and not sums of sleeps.
func (b ringBench) step(ctx context.Context, ring *allreduce.Ring, number uint64, v allreduce.Vector) (took reduced, err error) {
	start := time.Now()
	a := ring.Begin(ctx, number, v)
	if err := b.release(ctx, start, a, len(v.Out)); err != nil {
		a.Abandon(err)
		return took, err
	}
	computed := time.Now()
	if err := a.Complete(); err != nil {
		return took, err
	}
	return reduced{a.Hidden(), time.Since(computed)}, nil
}

// release waits until all is computed, and releases what is final meanwhile.
func (b ringBench) release(ctx context.Context, start time.Time, a *allreduce.Reduction, elements int) error {
	if b.backward > 0 {
		backward := float64(b.compute) * b.backward
		bucket := allreduce.DefaultBucketElems(elements)
		for lo := elements - bucket; lo > 0; lo -= bucket {
			before := time.Duration(float64(backward) * float64(lo) / float64(elements)) // the end of backward
			if err := wait(ctx, b.compute-before-time.Since(start)); err != nil {
				return err
			}
			a.Release(lo)
		}
	}
	return wait(ctx, b.compute-time.Since(start))
}

// brought is what a member brings, as a worker does: the gradient of its only shard or, to a
// ring that shares memory, sums, in memory that others may read where there is such. The
// gradient is nil where there are sums of several.
type brought struct {
	vector allreduce.Vector // of the sums
	sums   *allreduce.Sums
	term   *allreduce.Term
}

// to is what is brought to a ring.
func (b brought) to(r *allreduce.Ring) allreduce.Vector {
	v := b.vector
	if b.term != nil && !r.Shared() {
		v.Sum, v.Term = nil, b.term
	}
	return v
}

// brings makes values like those of a gradient: of many sizes below 2^-10.
func (b ringBench) brings() (g brought, err error) {
	values := make([]float32, b.elements)
	rng.Normals(values, 1, rng.Noise, 0, uint32(b.rank))
	for i := range values {
		values[i] /= 1 << 10
	}
	fixed := allreduce.Fixed{FractionBits: allreduce.DefaultFractionBits}
	var sum []int64
	switch g.sums, err = allreduce.NewSums(b.elements); {
	case err == nil:
		sum = g.sums.Values()
	case errors.Is(err, errors.ErrUnsupported):
		sum = hugepages.Make[int64](b.elements)
	default:
		return g, err
	}
	fixed.Convert(sum, values, b.world)
	g.vector = allreduce.Vector{Sum: sum, Out: hugepages.Make[float32](b.elements), Finish: fixed.Means(b.world)}
	g.term = &allreduce.Term{Values: values, Fixed: fixed, Terms: b.world}
	return g, nil
}

// checksum is the CRC-32C of the values' bits.
func checksum(values []float32) uint32 {
	h := crc32.New(crc32.MakeTable(crc32.Castagnoli))
	_ = binary.Write(h, binary.LittleEndian, values) // a hash takes all
	return h.Sum32()
}
