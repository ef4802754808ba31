package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

func TestBenchWire(t *testing.T) {
	var out, errs bytes.Buffer
	count := func(args string) (got wireResult) {
		out.Reset()
		if code := run(t.Context(), strings.Fields("bench wire --preset tiny --world 2 --warmup 1 --steps 2 --json "+args), &out, &errs); code != 0 {
			t.Fatalf("exit %d: %s", code, &errs)
		}
		if err := json.Unmarshal(out.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		return got
	}
	got := count("")
	if bf16, coarse := count("--bf16"), count("--fraction-bits 30"); bf16.WireBytes >= got.WireBytes || coarse.WireBytes >= got.WireBytes || got.Loss <= 0 {
		t.Errorf("%d bytes as bfloat16, %d with 30 bits, %d at first; loss %v", bf16.WireBytes, coarse.WireBytes, got.WireBytes, got.Loss)
	}
	// What goes round is never longer than float32 results and sums of full width.
	if got.World != 2 || got.Params < 1 || got.WireBytes < 1 || got.Ratio <= 0 || got.Ratio > 1.6 {
		t.Errorf("%+v", got)
	}
}

func TestBenchWireRefusals(t *testing.T) {
	for _, args := range []string{"--world 1", "--steps 0", "--warmup -1", "--shard-size 3", "--fraction-bits 60", "--batch -4", "--world 100000", "--preset none", "what"} {
		var out, errs bytes.Buffer
		if code := run(t.Context(), strings.Fields("bench wire "+args), &out, &errs); code != exitUsage {
			t.Errorf("%v: exit %d: %s", args, code, &errs)
		}
	}
}
