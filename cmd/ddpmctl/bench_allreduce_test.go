package main

import (
	"bytes"
	"encoding/json"
	"runtime"
	"strings"
	"testing"
)

func TestBenchAllReduce(t *testing.T) {
	for _, args := range []string{"", " --tls", " --wire", " --wire --tls", " --hosts 2 --tls", " --hosts 3"} {
		t.Run("plain"+args, func(t *testing.T) { checkBenchAllReduce(t, args) })
	}
}

func checkBenchAllReduce(t *testing.T, args string) {
	t.Setenv(asCommand, "1")
	var out, errs bytes.Buffer
	if code := run(t.Context(), strings.Fields("bench allreduce --world 3 --elements 100001 --steps 2 --json"+args), &out, &errs); code != 0 {
		t.Fatalf("exit %d: %s", code, &errs)
	}
	var got map[string]any
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if got["world"] != 3. || got["elements"] != 100001. {
		t.Errorf("world %v, elements %v", got["world"], got["elements"])
	}
	for _, field := range []string{"seconds", "algbw", "busbw", "cpu_seconds"} {
		if v, ok := got[field].(float64); !ok || v <= 0 {
			t.Errorf("%s is %v", field, got[field])
		}
	}
	if sent := got["wire_bytes"].(float64); got["transport"] == "memory" {
		if runtime.GOOS != "linux" || strings.Contains(args, "--wire") || sent != 0 {
			t.Errorf("%v bytes were sent over memory", sent)
		}
	} else if least := 2. / 3 * 4 * 100001; got["transport"] == "wire" && sent < least || sent == 0 || sent > 4*least { // the means alone are two thirds of the vector, as float32
		t.Errorf("wire_bytes is %v", sent)
	}
	if want := map[bool]string{true: "memory and wire", false: "wire"}[runtime.GOOS == "linux"]; strings.Contains(args, "--hosts 2") && got["transport"] != want {
		t.Errorf("of two hosts the transport is %v, want %s", got["transport"], want)
	}
}

// Each algorithm makes the same bits, or the benchmark fails.
func TestBenchAllReduceByEach(t *testing.T) {
	t.Setenv(asCommand, "1")
	for _, a := range algorithms {
		var out, errs bytes.Buffer
		if code := run(t.Context(), strings.Fields("bench allreduce --world 5 --elements 5000 --steps 1 --algorithm "+a), &out, &errs); code != 0 {
			t.Errorf("%s: exit %d: %s", a, code, &errs)
		}
	}
}

// A member that dies ends the benchmark, with what it said.
func TestBenchAllReduceTellsOfAMember(t *testing.T) {
	t.Setenv(asCommand, "1")
	t.Setenv("DDPM_CPU_LEVEL", "quantum") // only the members read it now
	var out, errs bytes.Buffer
	if code := run(t.Context(), strings.Fields("bench allreduce --world 2 --elements 10"), &out, &errs); code != exitFailure || !strings.Contains(errs.String(), "quantum") {
		t.Errorf("exit %d: %s", code, &errs)
	}
}

func TestBenchAllReduceRefusals(t *testing.T) {
	for _, args := range []string{"--world 0", "--elements 0", "--steps 0", "--elements many", "what", "--algorithm tree", "--hosts 0", "--hosts 3"} {
		var out, errs bytes.Buffer
		if code := run(t.Context(), strings.Fields("bench allreduce "+args), &out, &errs); code != exitUsage {
			t.Errorf("%v: exit %d: %s", args, code, &errs)
		}
	}
}

func TestRingBenchRefusesOtherBits(t *testing.T) {
	reports := []ringReport{{Seconds: []float64{1}, Sent: 5, Checksum: 7}, {Seconds: []float64{2}, Sent: 7, Checksum: 7}}
	b := ringBench{world: 2, hosts: 1, elements: 10, steps: 1}
	if r, err := b.result(reports); err != nil || r.Seconds != 2 || r.WireBytes != 6 || r.AlgBW != 20 || r.BusBW != 20 {
		t.Errorf("%+v, %v", r, err)
	}
	reports[1].Checksum++
	if _, err := b.result(reports); err == nil {
		t.Error("members with different bits are fine")
	}
}
