package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm"
)

// clusterBench is which steps a cluster on this machine makes.
type clusterBench struct {
	ringBench
	preset string
}

// clusterResult is what one found, in the order of its JSON.
type clusterResult struct {
	World    int     `json:"world"`
	Elements int     `json:"elements"`
	Compute  float64 `json:"compute_seconds"`
	// Seconds is the median over the steps of the slowest member's step, Fastest the
	// least, which others at work on the machine change least; Reduce is what the median
	// has beside compute.
	Seconds float64 `json:"seconds"`
	Fastest float64 `json:"fastest_seconds"`
	Reduce  float64 `json:"reduce_seconds"`
	// Scaling is the rate, of world times that of one member that reduces nothing.
	Scaling float64 `json:"scaling"`
	// Hidden is the share of the all-reduce that was under way during backward, which
	// is the share Backward of compute.
	Backward   float64 `json:"backward"`
	Hidden     float64 `json:"hidden"`
	WireBytes  int64   `json:"wire_bytes"`
	CPUSeconds float64 `json:"cpu_seconds"`
}

func benchClusterCommand(stdout io.Writer) *cobra.Command {
	b := clusterBench{}
	c := &cobra.Command{
		Use:   "cluster",
		Short: "Time the steps of a cluster whose members only wait for their gradient",
		Long: "Cluster starts a process for each member, as bench allreduce does. In each step a member sleeps for\n" +
			"--compute, in the place of the network's forward and backward passes, and reduces a gradient of the\n" +
			"preset's size with the others: so that rings of many members fit on one machine. During the last part\n" +
			"of it, --backward, the gradient becomes ready evenly from its end on, and is reduced in a worker's\n" +
			"buckets meanwhile. With --in and --address members run in network namespaces, where tc can limit their\n" +
			"links. With --hosts several members stand for workers of one machine, and share memory there.",
		Example: "  ddpmctl bench cluster --world 8 --preset cifar10 --compute 500ms\n" +
			"  ddpmctl bench cluster --world 4 --in 'ip netns exec member{rank}' --address 10.9.0.1{rank}",
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			if b.hosts == 0 {
				b.hosts = b.world
			}
			if b.hosts < 1 || b.hosts > b.world {
				return usageError{fmt.Errorf("--hosts %d: must be in 1 … %d, the members", b.hosts, b.world)}
			}
			r, err := b.measure(c.Context())
			if err != nil {
				return err
			}
			return r.print(stdout, b.json)
		},
	}
	f := c.Flags()
	f.IntVar(&b.world, "world", 2, "members of the ring")
	f.IntVar(&b.hosts, "hosts", 0, "machines that the members stand for, as many on each as on another; 0: each is one")
	f.StringVar(&b.preset, "preset", "cifar10", "the model whose gradient is reduced")
	f.IntVar(&b.elements, "elements", 0, "elements of the gradient; 0: the preset's")
	f.DurationVar(&b.compute, "compute", 500*time.Millisecond, "what a member waits in each step")
	f.Float64Var(&b.backward, "backward", 0.6, "the share of --compute in which the gradient becomes ready and is reduced; 0: the ring after all of it")
	f.IntVar(&b.steps, "steps", 5, "steps to time, after one that is not")
	f.BoolVar(&b.tls, "tls", false, "under TLS with certificates at both ends, as workers speak it")
	f.StringVar(&b.in, "in", "", "the `COMMAND` that members are started by; {rank} in it becomes the member's, {host} its host's")
	f.StringVar(&b.address, "address", "127.0.0.1", "the `HOST` at which a member listens; {rank} in it becomes the member's, {host} its host's")
	f.BoolVar(&b.json, "json", false, "print JSON")
	return c
}

// measure runs the ring and reckons with what it took.
func (b clusterBench) measure(ctx context.Context) (clusterResult, error) {
	if b.elements == 0 {
		p, err := ddpm.FindPreset(b.preset)
		if err != nil {
			return clusterResult{}, usageError{err}
		}
		b.elements = p.Spec.Model.ParamCount()
	}
	if b.world < 1 || b.elements < 1 || b.steps < 1 || b.compute < 0 {
		return clusterResult{}, usageError{fmt.Errorf("--world %d --elements %d --steps %d --compute %s: the first three must be at least 1, and the time at least 0", b.world, b.elements, b.steps, b.compute)}
	}
	if !(b.backward >= 0 && b.backward <= 1) {
		return clusterResult{}, usageError{fmt.Errorf("--backward %v: must be from 0 to 1", b.backward)}
	}
	r, err := b.run(ctx)
	if err != nil {
		return clusterResult{}, err
	}
	compute := b.compute.Seconds()
	return clusterResult{
		World: r.World, Elements: r.Elements, Compute: compute, Seconds: r.Seconds, Fastest: r.Fastest, Reduce: r.Seconds - compute,
		Scaling: compute / r.Seconds, Backward: b.backward, Hidden: r.Hidden, WireBytes: r.WireBytes, CPUSeconds: r.CPUSeconds,
	}, nil
}

func (r clusterResult) print(w io.Writer, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(r)
	}
	fmt.Fprintf(w, "%d members, %d elements: %.3f s a step (median), %.3f s of it beside compute, scaling %.1f%%\n",
		r.World, r.Elements, r.Seconds, r.Reduce, 100*r.Scaling)
	fmt.Fprintf(w, "%.0f%% of the all-reduce hidden behind backward\n", 100*r.Hidden)
	fmt.Fprintf(w, "%.1f MB sent a member and step, %.3f CPU seconds of all members a step\n", float64(r.WireBytes)/1e6, r.CPUSeconds)
	return nil
}

// forRank puts the numbers of a rank and of its host into a text.
func (b ringBench) forRank(text string, rank int) string {
	return strings.NewReplacer("{rank}", fmt.Sprint(rank), "{host}", fmt.Sprint(b.host(rank))).Replace(text)
}
