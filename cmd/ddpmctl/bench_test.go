package main

import (
	"bytes"
	"encoding/json"
	"os"
	"testing"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/kernel"
	"github.com/ddpm-cluster/ddpm-cluster/internal/cpulevel"
)

// asCommand makes the test binary the command, for tests of what starts itself.
const asCommand = "DDPMCTL_TEST_AS_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asStuck) != "" {
		stuck()
	}
	if os.Getenv(asCommand) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

func TestBenchStep(t *testing.T)   { testBench(t, "step") }
func TestBenchSample(t *testing.T) { testBench(t, "sample") }

func testBench(t *testing.T, what string) {
	var out, errs bytes.Buffer
	if code := run(t.Context(), []string{"bench", what, "--preset", "tiny", "--batch", "2", "--threads", "1", "--steps", "2", "--json"}, &out, &errs); code != 0 {
		t.Fatalf("exit %d: %s", code, &errs)
	}
	var got map[string]any
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	for _, field := range []string{"params", "batch", "threads", "seconds_per_step", "images_per_second", "gflops", "peak_rss_bytes"} {
		if v, ok := got[field].(float64); !ok || v <= 0 {
			t.Errorf("%s is %v", field, got[field])
		}
	}
	if got["preset"] != "tiny" || got["level"] == "" {
		t.Errorf("preset %v, level %v", got["preset"], got["level"])
	}
}

// TestBenchKernels measures at every level, each in a process of its own.
func TestBenchKernels(t *testing.T) {
	t.Setenv(asCommand, "1")
	t.Setenv(cpulevel.Variable, "")
	var out, errs bytes.Buffer
	if code := run(t.Context(), []string{"bench", "kernels", "--time", "1ns", "--json"}, &out, &errs); code != 0 {
		t.Fatalf("exit %d: %s", code, &errs)
	}
	var got []kernelResult
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	seen := map[kernel.Level]int{}
	for _, r := range got {
		seen[r.Level]++
		if r.Kernel == "" || r.Seconds <= 0 || r.Peak <= 0 || r.GFLOPS <= 0 && r.GBytes <= 0 || (r.GFLOPS > 0) != (r.PeakShare > 0) {
			t.Errorf("%+v", r)
		}
	}
	for _, l := range cpulevel.Available() {
		if seen[l] == 0 {
			t.Errorf("nothing at level %s", l)
		}
	}
	var table bytes.Buffer
	if err := printKernels(&table, got, false); err != nil || bytes.Count(table.Bytes(), []byte("\n")) != 1+len(got)+len(cpulevel.Available()) {
		t.Errorf("%v, table of %d kernels:\n%s", err, len(got), &table)
	}
}

func TestBenchRefusals(t *testing.T) {
	for _, args := range [][]string{{"--preset", "none"}, {"--batch", "0"}, {"--steps", "-1"}, {"--threads", "0"}, {"what"}} {
		refused(t, append([]string{"step"}, args...))
		refused(t, append([]string{"sample"}, args...))
	}
	refused(t, []string{"kernels", "--time", "0s"})
	refused(t, []string{"kernels", "what"})
}

func refused(t *testing.T, args []string) {
	t.Helper()
	var out, errs bytes.Buffer
	if code := run(t.Context(), append([]string{"bench"}, args...), &out, &errs); code != exitUsage {
		t.Errorf("%v: exit %d: %s", args, code, &errs)
	}
}
