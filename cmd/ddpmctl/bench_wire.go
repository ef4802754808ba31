package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"runtime"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/ddpm-cluster/ddpm-cluster/allreduce"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/dataset"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/kernel"
)

// wireBench is which gradients go round which ring.
type wireBench struct {
	preset, data                    string
	world, batch, shardSize, warmup int
	steps, threads                  int
	fractionBits                    int
	bf16                            bool
	json                            bool
}

// wireResult is what one found, in the order of its JSON.
type wireResult struct {
	Preset string `json:"preset"`
	World  int    `json:"world"`
	Params int    `json:"params"`
	// WireBytes is what a member sends in a step, the mean of all members and steps.
	WireBytes int64 `json:"wire_bytes"`
	// Ratio is that, of what a member of a ring of float32 sends.
	Ratio float64 `json:"ratio"`
	// Loss is the mean of the steps that count.
	Loss float64 `json:"loss"`
}

func benchWireCommand(stdout io.Writer) *cobra.Command {
	b := wireBench{}
	c := &cobra.Command{
		Use:   "wire",
		Short: "Count the bytes that real gradients take in the ring",
		Long: "Wire trains in this process, with the shards dealt to the members of a ring in memory, and counts what\n" +
			"the members send. The ratio is to a ring of float32: 8 bytes a parameter, times (world-1)/world.",
		Example: "  ddpmctl bench wire --preset digits --world 4 --warmup 50",
		Args:    noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			r, err := b.run(c.Context())
			if err != nil {
				return err
			}
			return r.print(stdout, b.json)
		},
	}
	f := c.Flags()
	f.StringVar(&b.preset, "preset", "cifar10", "the model and its training")
	f.StringVar(&b.data, "data", "glyphs://?n=1024", "the dataset: files, the packed form in a folder or an s3:// URI, or the built-in digits")
	f.IntVar(&b.world, "world", 2, "members of the ring")
	f.IntVar(&b.batch, "batch", 0, "images of a step; 0: the preset's")
	f.IntVar(&b.shardSize, "shard-size", 0, "images of a shard; 0: the preset's")
	f.IntVar(&b.warmup, "warmup", 0, "steps before those that count")
	f.IntVar(&b.steps, "steps", 1, "steps that count")
	f.IntVar(&b.fractionBits, "fraction-bits", 0, "bits after the point in which gradients are summed; 0: the preset's")
	f.BoolVar(&b.bf16, "bf16", false, "round the averaged gradient to bfloat16, as --gather-dtype bf16 does")
	f.IntVar(&b.threads, "threads", runtime.NumCPU(), "threads")
	f.BoolVar(&b.json, "json", false, "print JSON")
	return c
}

// spec is the run's; its shards must go round.
func (b wireBench) spec() (ddpm.Spec, error) {
	p, err := ddpm.FindPreset(b.preset)
	if err != nil {
		return ddpm.Spec{}, usageError{err}
	}
	s := p.Spec
	if b.batch != 0 {
		s.Batch = b.batch
	}
	if b.shardSize != 0 {
		s.ShardSize = b.shardSize
	}
	if b.fractionBits != 0 {
		s.FractionBits = b.fractionBits
	}
	if s.FractionBits < ddpm.MinFractionBits || s.FractionBits > ddpm.MaxFractionBits {
		return s, usageError{fmt.Errorf("--fraction-bits %d: must be in %d … %d", s.FractionBits, ddpm.MinFractionBits, ddpm.MaxFractionBits)}
	}
	if b.bf16 {
		s.GatherDtype = ddpm.GatherBF16
	}
	if b.world < 2 || b.steps < 1 || b.warmup < 0 || b.threads < 1 {
		return s, usageError{fmt.Errorf("--world %d --steps %d --warmup %d --threads %d: a ring that sends has 2 members, and the others are at least 1, 0 and 1", b.world, b.steps, b.warmup, b.threads)}
	}
	if s.ShardSize < 1 || s.Batch < 1 || s.Batch%s.ShardSize != 0 || s.Shards() < b.world {
		return s, usageError{fmt.Errorf("--batch %d --shard-size %d --world %d: a batch has whole shards, and at least one for each member", s.Batch, s.ShardSize, b.world)}
	}
	return s, nil
}

// run trains, and counts.
func (b wireBench) run(ctx context.Context) (r wireResult, err error) {
	s, err := b.spec()
	if err != nil {
		return r, err
	}
	data, err := dataset.Places{Stores: openData}.Open(ctx, b.data, ddpm.Want(s.Model))
	if err != nil {
		return r, err
	}
	defer closing(ctx, data)()
	s.DatasetLen = data.Len()
	pool := kernel.NewPool(b.threads)
	defer pool.Close()
	m, err := newMembers(s, b.world)
	if err != nil {
		return r, err
	}
	device, state := ddpm.NewCPU(s, data, pool), ddpm.NewState(s)
	var sent int64
	var losses float64
	for step := range b.warmup + b.steps {
		loss, err := m.compute(ctx, device, state)
		if err != nil {
			return r, err
		}
		n, err := m.reduce(ctx, uint64(step))
		if err != nil {
			return r, err
		}
		if step >= b.warmup {
			sent += n
			losses += loss
		}
		state.Update(s, pool, m.vectors[0].Out)
	}
	n := len(state.Weights)
	bytes := sent / int64(b.steps*b.world)
	return wireResult{
		Preset: b.preset, World: b.world, Params: n, WireBytes: bytes,
		Ratio: float64(bytes) / (8 * float64(n) * float64(b.world-1) / float64(b.world)),
		Loss:  losses / float64(b.steps),
	}, nil
}

// members are a ring within this process.
type members struct {
	spec    ddpm.Spec
	rings   []*allreduce.Ring
	links   []*countedLink
	vectors []allreduce.Vector
	grad    []float32
}

func newMembers(s ddpm.Spec, world int) (*members, error) {
	n := s.Model.ParamCount()
	m := &members{spec: s, grad: make([]float32, n)}
	for rank, link := range allreduce.NewMemoryRing(world) {
		counted := &countedLink{Link: link}
		ring, err := allreduce.NewRing(allreduce.Config{Member: allreduce.Member{Generation: 1, Rank: rank, World: world}}, counted)
		if err != nil {
			return nil, err
		}
		m.rings, m.links = append(m.rings, ring), append(m.links, counted)
		v := allreduce.Vector{Sum: make([]int64, n), Out: make([]float32, n), Finish: m.fixed().Means(s.Shards())}
		if s.GatherDtype == ddpm.GatherBF16 {
			v.Gather = allreduce.GatherBF16
		}
		m.vectors = append(m.vectors, v)
	}
	return m, nil
}

func (m *members) fixed() allreduce.Fixed { return allreduce.Fixed{FractionBits: m.spec.FractionBits} }

// compute adds each shard's gradient to the sums of its member, and returns the loss.
func (m *members) compute(ctx context.Context, device *ddpm.CPU, state *ddpm.State) (loss float64, err error) {
	plan, shards, world := ddpm.PlanStep(m.spec, state.Step), m.spec.Shards(), len(m.rings)
	device.Begin(state.Weights)
	for _, v := range m.vectors {
		clear(v.Sum)
	}
	for shard := range shards {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		one, err := device.Gradient(plan.Shard(shard), m.grad, nil)
		if err != nil {
			return 0, err
		}
		loss += one / float64(shards)
		if !m.fixed().Accumulate(m.vectors[shard*world/shards].Sum, m.grad, shards) {
			return 0, fmt.Errorf("step %d: a gradient does not fit into fixed point", state.Step)
		}
	}
	return loss, nil
}

// reduce runs the ring and returns what all members have sent.
func (m *members) reduce(ctx context.Context, step uint64) (sent int64, err error) {
	for _, l := range m.links {
		l.sent = 0
	}
	g, ctx := errgroup.WithContext(ctx)
	for rank, ring := range m.rings {
		g.Go(func() error { return ring.AllReduce(ctx, step, m.vectors[rank]) })
	}
	err = g.Wait()
	for _, l := range m.links {
		sent += l.sent
	}
	return sent, err
}

func (r wireResult) print(w io.Writer, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(r)
	}
	fmt.Fprintf(w, "%s, %d parameters, %d members: %.2f MB sent a member and step, %.3f of what a ring of float32 sends; loss %.4f\n",
		r.Preset, r.Params, r.World, float64(r.WireBytes)/1e6, r.Ratio, r.Loss)
	return nil
}
