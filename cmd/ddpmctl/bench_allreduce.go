package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ddpm-cluster/ddpm-cluster/allreduce"
	"github.com/ddpm-cluster/ddpm-cluster/allreduce/choice"
)

// ringBench is what a benchmark of the ring is of.
type ringBench struct {
	world, elements, steps int
	// hosts is how many machines the members stand for: those of one share memory.
	hosts int
	// rank is the member's that this process is, or -1 in the one that starts them.
	rank int
	tls  bool
	// wire has the members use their connections, though they share a machine.
	wire bool
	json bool
	// algorithm is one of algorithms, empty the ring.
	algorithm string
	// compute is what a member sleeps in each step, and backward the share of it, the
	// last, in which the vector is released. in is the command that a member is started
	// by, address the host at which it listens, both with {rank} and {host}.
	compute     time.Duration
	backward    float64
	in, address string
}

// ringResult is what one found, in the order of its JSON.
type ringResult struct {
	World    int `json:"world"`
	Elements int `json:"elements"`
	// Seconds is the median over the steps of the time of the slowest member.
	Seconds float64 `json:"seconds"`
	// Fastest is the least of them, for bench cluster.
	Fastest float64 `json:"-"`
	// Hidden is the share of the all-reduce that was under way during compute, the mean
	// over members and steps, for bench cluster too.
	Hidden float64 `json:"-"`
	// AlgBW and BusBW are in bytes a second of float32: the vector's, and those that
	// a member of a ring has to send.
	AlgBW float64 `json:"algbw"`
	BusBW float64 `json:"busbw"`
	// WireBytes is what a member sends in a step, the mean of all.
	WireBytes int64 `json:"wire_bytes"`
	// Transport is how: "memory" that the members share, the "wire" between them, or, on
	// several hosts, "memory and wire".
	Transport string `json:"transport"`
	// CPUSeconds is what all members together took of the processors in a step, the
	// mean of all: the figure to compare on a machine where others are at work.
	CPUSeconds float64 `json:"cpu_seconds"`
}

// The algorithms.
const (
	byRing    = "ring"
	byHalving = "halving"
	byChoice  = "auto"
)

var algorithms = []string{byRing, byHalving, byChoice}

// words is the algorithm as a member is told it.
func (b ringBench) words() string {
	if b.algorithm == "" {
		return byRing
	}
	return b.algorithm
}

// halvingElems is up to how many elements a bucket goes by halving.
func (b ringBench) halvingElems() int {
	switch b.algorithm {
	case byHalving:
		return max(b.elements, allreduce.MaxBucketElems)
	case byChoice:
		p, _ := choice.Choose(choice.Cluster{Members: b.world, Hosts: b.hostSizes(), Elems: b.elements})
		return p.HalvingElems
	}
	return 0
}

// hostSizes are the members of each host, as equal as can be.
func (b ringBench) hostSizes() allreduce.Hosts {
	sizes := make(allreduce.Hosts, b.hosts)
	for i := range sizes {
		sizes[i] = b.world / b.hosts
		if i < b.world%b.hosts {
			sizes[i]++
		}
	}
	return sizes
}

// host is the number of the one that a member is on.
func (b ringBench) host(rank int) int {
	host := 0
	for sizes := b.hostSizes(); rank >= sizes[host]; host++ {
		rank -= sizes[host]
	}
	return host
}

// shares says that members reduce through memory where they share a host.
func (b ringBench) shares() bool { return !b.wire && b.hosts < b.world && b.halvingElems() == 0 }

func benchAllReduceCommand(stdin io.Reader, stdout io.Writer) *cobra.Command {
	b := ringBench{}
	c := &cobra.Command{
		Use:   "allreduce",
		Short: "Time the exact all-reduce between processes on this machine",
		Long: "Allreduce starts a process for each member, connects them over loopback, and prints the\n" +
			"median time in which values like a gradient's become their float32 means everywhere. As workers of\n" +
			"one machine do, they reduce through shared memory, and bring the values in fixed point; --wire has\n" +
			"them do as workers of as many machines do that have a shard each, and bring them as they are. With\n" +
			"--hosts they do as workers of fewer, which share memory within each. It fails when the members end\n" +
			"with different bits.",
		Example: "  ddpmctl bench allreduce --world 2 --elements 35746307",
		Args:    noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			if b.world < 1 || b.elements < 1 || b.steps < 1 {
				return usageError{fmt.Errorf("--world %d --elements %d --steps %d: all must be at least 1", b.world, b.elements, b.steps)}
			}
			if b.hosts < 1 || b.hosts > b.world {
				return usageError{fmt.Errorf("--hosts %d: must be in 1 … %d, the members", b.hosts, b.world)}
			}
			if !slices.Contains(algorithms, b.algorithm) {
				return usageError{fmt.Errorf("--algorithm %s: must be one of %s", b.algorithm, strings.Join(algorithms, ", "))}
			}
			if b.rank >= 0 {
				return b.member(c.Context(), stdin, stdout)
			}
			r, err := b.run(c.Context())
			if err != nil {
				return err
			}
			return r.print(stdout, b.json)
		},
	}
	f := c.Flags()
	f.IntVar(&b.world, "world", 2, "members of the ring")
	f.IntVar(&b.hosts, "hosts", 1, "machines that the members stand for, as many on each as on another: through memory within one, over connections between")
	f.IntVar(&b.elements, "elements", 1<<24, "elements of the vector")
	f.IntVar(&b.steps, "steps", 5, "all-reduces to time, after one that is not")
	f.BoolVar(&b.tls, "tls", false, "under TLS with certificates at both ends, as workers speak it")
	f.BoolVar(&b.wire, "wire", false, "reduce over the connections, as between machines, and not through shared memory")
	f.BoolVar(&b.json, "json", false, "print JSON")
	f.StringVar(&b.algorithm, "algorithm", byRing, "ring, halving (recursive halving and doubling), or auto, as a coordinator chooses it; what is halved goes over the connections")
	f.IntVar(&b.rank, "rank", -1, "be this member; for the processes that the command starts")
	f.DurationVar(&b.compute, "compute", 0, "wait so long before each all-reduce; for those processes")
	f.Float64Var(&b.backward, "backward", 0, "release the vector during this last share of the wait; for those processes")
	f.StringVar(&b.address, "address", "127.0.0.1", "listen at this host; for those processes")
	for _, name := range []string{"rank", "compute", "backward", "address"} {
		_ = f.MarkHidden(name) // only fails for a flag that is not there
	}
	return c
}

// run starts the members and gathers what they found.
func (b ringBench) run(ctx context.Context) (ringResult, error) {
	program, err := os.Executable()
	if err != nil {
		return ringResult{}, fmt.Errorf("find this program: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	members := make([]*ringProcess, 0, b.world)
	for rank := range b.world {
		words := append(strings.Fields(b.forRank(b.in, rank)), program, "bench", "allreduce", "--rank", fmt.Sprint(rank), "--world", fmt.Sprint(b.world), "--hosts", fmt.Sprint(b.hosts),
			"--elements", fmt.Sprint(b.elements), "--steps", fmt.Sprint(b.steps), fmt.Sprintf("--tls=%t", b.tls), fmt.Sprintf("--wire=%t", b.wire),
			"--algorithm", b.words(), "--compute", b.compute.String(), "--backward", fmt.Sprint(b.backward), "--address", b.forRank(b.address, rank))
		m, err := startRingProcess(ctx, words[0], words[1:]...)
		if err != nil {
			cancel()
			return ringResult{}, errors.Join(fmt.Errorf("start member %d: %w", rank, err), waitAll(members))
		}
		members = append(members, m)
	}
	reports, err := b.converse(members)
	if err != nil {
		cancel()
		return ringResult{}, errors.Join(err, waitAll(members))
	}
	if err := waitAll(members); err != nil {
		return ringResult{}, err
	}
	return b.result(reports)
}

// converse gives the members their certificates, tells them of each other and hears
// their reports.
func (b ringBench) converse(members []*ringProcess) ([]ringReport, error) {
	if b.tls {
		if err := certify(members); err != nil {
			return nil, err
		}
	}
	addresses := make([]string, len(members))
	for rank, m := range members {
		if err := m.out.Decode(&addresses[rank]); err != nil {
			return nil, fmt.Errorf("read the address of member %d: %w", rank, err)
		}
	}
	for rank, m := range members {
		if err := m.in.Encode(addresses); err != nil {
			return nil, fmt.Errorf("write the addresses to member %d: %w", rank, err)
		}
	}
	reports := make([]ringReport, len(members))
	for rank, m := range members {
		if err := m.out.Decode(&reports[rank]); err != nil {
			return nil, fmt.Errorf("read the report of member %d: %w", rank, err)
		}
	}
	return reports, nil
}

// result sums up the members' reports.
func (b ringBench) result(reports []ringReport) (ringResult, error) {
	slowest := make([]float64, b.steps)
	var sent int64
	var cpu, hidden float64
	for rank, r := range reports {
		if r.Checksum != reports[0].Checksum {
			return ringResult{}, fmt.Errorf("members 0 and %d hold different bits (CRC-32C %08x and %08x): this is a defect, please report it",
				rank, reports[0].Checksum, r.Checksum)
		}
		for i, s := range r.Seconds {
			slowest[i] = max(slowest[i], s)
		}
		sent += r.Sent
		cpu += r.CPU
		hidden += r.Hidden
	}
	transport := "wire"
	switch {
	case reports[0].Memory && b.hosts > 1:
		transport = "memory and wire"
	case reports[0].Memory:
		transport = "memory"
	}
	seconds, bytes, world := median(slowest), 4*float64(b.elements), float64(b.world)
	return ringResult{
		World: b.world, Elements: b.elements, Seconds: seconds, Fastest: slices.Min(slowest), Hidden: hidden / world,
		AlgBW: bytes / seconds, BusBW: 2 * (world - 1) / world * bytes / seconds,
		Transport: transport, WireBytes: sent / int64(b.world), CPUSeconds: cpu / float64(b.steps),
	}, nil
}

func (r ringResult) print(w io.Writer, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(r)
	}
	fmt.Fprintf(w, "%d members, %d elements: %.4f s (median), %.2f GB/s of the vector, %.2f GB/s on the bus\n",
		r.World, r.Elements, r.Seconds, r.AlgBW/1e9, r.BusBW/1e9)
	fmt.Fprintf(w, "%.4f CPU seconds of all members a step\n", r.CPUSeconds)
	if r.Transport == "memory" {
		fmt.Fprintln(w, "through shared memory: nothing was sent")
		return nil
	}
	if ring := 2 * float64(r.World-1) / float64(r.World) * 4 * float64(r.Elements); ring > 0 {
		fmt.Fprintf(w, "%.1f MB sent a member and step, %.3f of what a ring of float32 sends\n", float64(r.WireBytes)/1e6, float64(r.WireBytes)/ring)
	}
	return nil
}
