package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

func TestBenchWire(t *testing.T) {
	var out, errs bytes.Buffer
	if code := run(t.Context(), strings.Fields("bench wire --preset tiny --world 2 --warmup 1 --steps 2 --json"), &out, &errs); code != 0 {
		t.Fatalf("exit %d: %s", code, &errs)
	}
	var got wireResult
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	// What goes round is never longer than float32 results and sums of full width.
	if got.World != 2 || got.Params < 1 || got.WireBytes < 1 || got.Ratio <= 0 || got.Ratio > 1.6 {
		t.Errorf("%+v", got)
	}
}

func TestBenchWireRefusals(t *testing.T) {
	for _, args := range []string{"--world 1", "--steps 0", "--warmup -1", "--shard-size 3", "--batch -4", "--world 100000", "--preset none", "what"} {
		var out, errs bytes.Buffer
		if code := run(t.Context(), strings.Fields("bench wire "+args), &out, &errs); code != exitUsage {
			t.Errorf("%v: exit %d: %s", args, code, &errs)
		}
	}
}
