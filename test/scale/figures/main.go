// Command figures makes what docs/scaling.md shows: the pictures, into the folder that
// is its argument, and the tables, on standard output.
//
//	go run ./test/scale/figures docs/images
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/ddpm-cluster/ddpm-cluster/allreduce"
	"github.com/ddpm-cluster/ddpm-cluster/allreduce/stepsim"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm"
)

var (
	worlds  = []int{8, 16, 32, 64, 128, 256, 512, 1024}
	gbits   = []float64{1, 10, 25, 100}
	presets = []struct {
		name    string
		compute float64 // of a step, in seconds
	}{{"cifar10", 0.5}, {"celebahq256", 5}}
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: figures FOLDER")
		os.Exit(2)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "figures:", err)
		os.Exit(1)
	}
}

func run(dir string) error {
	for _, preset := range presets {
		p, err := ddpm.FindPreset(preset.name)
		if err != nil {
			return err
		}
		elems := p.Spec.Model.ParamCount()
		overlapped, plain, err := table(preset.name, elems, preset.compute)
		if err != nil {
			return err
		}
		picture := chart{title: fmt.Sprintf("%s, %.1f million parameters, %g s of compute a step: scaling", preset.name, float64(elems)/1e6, preset.compute)}
		for i, g := range gbits {
			picture.add(fmt.Sprintf("%g Gbit/s", g), i, false, overlapped[i])
			picture.add("", i, true, plain[i])
		}
		if err := os.WriteFile(filepath.Join(dir, "scaling-"+preset.name+".svg"), []byte(picture.svg()), 0o644); err != nil {
			return err
		}
	}
	algorithms()
	return nil
}

// cluster is one of hosts with a rank each.
func cluster(world, elems int, gbit, compute float64) stepsim.Config {
	return stepsim.Config{
		World: world, Elems: elems, Buckets: 1, SegmentElems: allreduce.DefaultSegmentElems, InFlight: allreduce.DefaultInFlight,
		Compute: compute, Backward: 0.6 * compute, Bandwidth: gbit * 1e9 / 8 * 1448 / 1514, Latency: 50e-6, Buffer: 1 << 20,
		// What the gradients of digits take, in docs/performance.md, and what an element
		// takes of a processor: 1.4 GB/s by gRPC at each end, and 1 ns for adding and packing.
		SumBytes: 4 * 0.896, ResultBytes: 4 * 0.866, MessageBytes: 120,
		Host: stepsim.Host{Ranks: 1, Cores: 2, Send: 2.6e-9, Receive: 3.6e-9, Message: 20e-6, Memory: 3e-9},
	}
}

// buckets is in how many parts a gradient goes: 16, but a rank's chunk of each has a
// whole segment.
func buckets(world, elems int) int {
	return min(16, max(1, elems/(world*allreduce.DefaultSegmentElems)))
}

// table prints a preset's steps, and returns the scaling with buckets and without, by
// bandwidth and world.
func table(preset string, elems int, compute float64) (overlapped, plain [][]float64, err error) {
	fmt.Printf("\n`%s`, %d parameters:\n\n| workers |", preset, elems)
	for _, g := range gbits {
		fmt.Printf(" %g Gbit/s |", g)
	}
	fmt.Printf("\n|---|%s\n", strings.Repeat("---|", len(gbits)))
	overlapped, plain = make([][]float64, len(gbits)), make([][]float64, len(gbits))
	for _, world := range worlds {
		fmt.Printf("| %d |", world)
		for i, g := range gbits {
			c := cluster(world, elems, g, compute)
			alone, err := stepsim.Simulate(c)
			if err != nil {
				return nil, nil, err
			}
			c.Buckets = buckets(world, elems)
			hidden, err := stepsim.Simulate(c)
			if err != nil {
				return nil, nil, err
			}
			plain[i] = append(plain[i], c.Compute/alone.Step)
			overlapped[i] = append(overlapped[i], c.Compute/hidden.Step)
			fmt.Printf(" %.2f s, %.0f%%, %s |", alone.Exposed(), 100*c.Compute/hidden.Step, stepsim.BoundOf(c))
		}
		fmt.Println()
	}
	return overlapped, plain, nil
}

// algorithms prints which would win where, and how many times as fast as a ring, where
// that is more than noise.
func algorithms() {
	for _, perHost := range []int{1, 8} {
		fmt.Printf("\n%d to a host:\n\n| elements |", perHost)
		for _, w := range worlds {
			fmt.Printf(" %d |", w)
		}
		fmt.Printf("\n|---|%s\n", strings.Repeat("---|", len(worlds)))
		for _, elems := range []int{1 << 12, 1 << 16, 1 << 20, 1 << 23, 35_746_307, 113_673_219} {
			fmt.Printf("| %d |", elems)
			for _, w := range worlds {
				c := cluster(w, elems, 10, 0)
				hosts := stepsim.Even(w, perHost)
				a, cost := stepsim.Choose(c, hosts)
				if gain := stepsim.Cost(stepsim.Ring, c, hosts) / cost; gain < 1.05 {
					fmt.Print(" ring |")
				} else {
					fmt.Printf(" %s, %.2g |", a, gain)
				}
			}
			fmt.Println()
		}
	}
}
