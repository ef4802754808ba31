package scale

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/ddpm-cluster/ddpm-cluster/allreduce"
	"github.com/ddpm-cluster/ddpm-cluster/allreduce/stepsim"
)

// measured is what ddpmctl bench cluster says.
type measured struct {
	// Fastest is the step that others at work on the machine have changed least.
	Fastest    float64 `json:"fastest_seconds"`
	WireBytes  float64 `json:"wire_bytes"`
	CPUSeconds float64 `json:"cpu_seconds"`
}

const (
	elems   = 1_500_000
	compute = 500 * time.Millisecond
	// payload is TCP's share of an Ethernet frame.
	payload = 1448.0 / 1514
	// most is how far a simulated step may be from a measured one.
	most = 0.15
)

// The simulation of a step is what rings over limited links take. All that it is told
// is the link, the bytes that elements take and what the processes took of the
// processors.
func TestSimulationIsWhatRingsTake(t *testing.T) {
	if os.Getenv("DDPM_SCALE") == "" {
		t.Skip("opt in by DDPM_SCALE=1; as root, with ip and tc")
	}
	program := filepath.Join(t.TempDir(), "ddpmctl")
	build := exec.Command("go", "build", "-o", program, "./cmd/ddpmctl")
	build.Dir = filepath.Join("..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, v := range []struct{ world, mbits int }{{2, 50}, {2, 100}, {4, 50}, {8, 25}} {
		t.Run(fmt.Sprintf("%d members, %d Mbit/s", v.world, v.mbits), func(t *testing.T) {
			name, address := namespaces(t, v.world, v.mbits)
			out, err := exec.CommandContext(t.Context(), program, "bench", "cluster", "--json", "--steps", "5",
				"--world", fmt.Sprint(v.world), "--elements", fmt.Sprint(elems), "--compute", compute.String(),
				"--in", "ip netns exec "+name+"{rank}", "--address", address+"{rank}").Output()
			var m measured
			if err == nil {
				err = json.Unmarshal(out, &m)
			}
			if err != nil {
				if exit := new(exec.ExitError); errors.As(err, &exit) {
					out = exit.Stderr
				}
				t.Fatalf("%v\n%s", err, out)
			}
			r, err := stepsim.Simulate(config(v.world, v.mbits, m))
			if err != nil {
				t.Fatal(err)
			}
			off := r.Step/m.Fastest - 1
			t.Logf("measured %.3f s, simulated %.3f s, %+.1f%%; %.1f MB sent, %.2f CPU s", m.Fastest, r.Step, 100*off, m.WireBytes/1e6, m.CPUSeconds)
			if math.Abs(off) > most {
				t.Errorf("the simulation is %.0f%% off, %.0f%% at most", 100*off, 100*most)
			}
		})
	}
}

func config(world, mbits int, m measured) stepsim.Config {
	moved := float64(elems) * float64(world-1) / float64(world) // of a rank, in each phase
	processor := m.CPUSeconds / float64(world) / (2 * moved)    // for an element sent and received
	return stepsim.Config{
		World: world, Elems: elems, Buckets: 1, SegmentElems: allreduce.DefaultSegmentElems, InFlight: allreduce.DefaultInFlight,
		Compute: compute.Seconds(), Bandwidth: float64(mbits) * 1e6 / 8 * payload, Latency: 100e-6, Buffer: 1 << 20,
		SumBytes: m.WireBytes / moved / 2, ResultBytes: m.WireBytes / moved / 2,
		Host: stepsim.Host{Ranks: world, Cores: 2, Send: processor / 2, Receive: processor / 2},
	}
}
