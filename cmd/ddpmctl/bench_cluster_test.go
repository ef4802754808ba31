package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/ddpm-cluster/ddpm-cluster/allreduce"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/rng"
)

// With backward to hide behind some of the all-reduce is hidden. Without it none is, but
// for the moment between the first bucket and the last.
func TestBenchCluster(t *testing.T) {
	t.Setenv(asCommand, "1")
	for _, v := range []struct {
		args   string
		hidden bool
	}{{"", true}, {" --backward 0", false}, {" --world 4 --hosts 2", true}} {
		var out, errs bytes.Buffer
		args := "bench cluster --world 2 --elements 2500000 --steps 2 --compute 200ms --json" + v.args
		if code := run(t.Context(), strings.Fields(args), &out, &errs); code != 0 {
			t.Fatalf("%s: exit %d: %s", args, code, &errs)
		}
		var got map[string]float64
		if err := json.Unmarshal(out.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		if got["hidden"] < 0 || got["hidden"] > 1 || (got["hidden"] > 0.1) != v.hidden {
			t.Errorf("%s: %v is hidden", args, got["hidden"])
		}
		if got["seconds"] < 0.2 || got["scaling"] > 1 {
			t.Errorf("%s: a step is shorter than what is computed in it: %v", args, got)
		}
	}
}

func TestBenchClusterRefusals(t *testing.T) {
	for _, args := range []string{"--world 0", "--elements -1", "--steps 0", "--compute -1s", "--backward -0.1", "--backward 1.1", "--backward NaN", "--hosts -1", "--world 2 --hosts 3"} {
		refused(t, append([]string{"cluster"}, strings.Fields(args)...))
	}
}

// When the gradient is released decides nothing of what comes out, in a ring of any size.
func TestBenchClusterMakesTheSameBits(t *testing.T) {
	const elements = 3*allreduce.MaxBucketElems/2 + 12345
	var want uint32
	for i, backward := range []float64{0, 0.6, 1} {
		for _, world := range []int{1, 3} {
			links := allreduce.NewMemoryRing(world)
			sums := make([]uint32, world)
			done := make(chan error, world)
			for rank := range world {
				go func() {
					b := ringBench{world: world, hosts: world, elements: elements, backward: backward, compute: 30 * time.Millisecond, steps: 1, rank: rank}
					report, err := b.time(t.Context(), allreduce.Member{Run: allreduce.NewRunTag("bench", ""), Generation: 1, Rank: rank, World: world}, links[rank], nil, share(elements, rank, world))
					sums[rank] = report.Checksum
					done <- err
				}()
			}
			for range world {
				if err := <-done; err != nil {
					t.Fatal(err)
				}
			}
			for rank, got := range sums {
				if i == 0 && world == 1 {
					want = got
				}
				if got != want {
					t.Errorf("backward %v, rank %d of %d: CRC-32C %08x, want %08x", backward, rank, world, got, want)
				}
			}
		}
	}
}

// share is a member's of three vectors of values, which it may have all of, or one.
func share(elements, rank, world int) brought {
	const shards = 3
	fixed := allreduce.Fixed{FractionBits: allreduce.DefaultFractionBits}
	sum, values := make([]int64, elements), make([]float32, elements)
	for shard := rank; shard < shards; shard += world {
		rng.Normals(values, 1, rng.Noise, 0, uint32(shard))
		fixed.Accumulate(sum, values, shards)
	}
	b := brought{vector: allreduce.Vector{Sum: sum, Out: make([]float32, elements), Finish: fixed.Means(shards)}}
	if world == shards {
		b.term = &allreduce.Term{Values: values, Fixed: fixed, Terms: shards}
	}
	return b
}
