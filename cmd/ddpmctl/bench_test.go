package main

import (
	"bytes"
	"encoding/json"
	"testing"
)

func TestBenchStep(t *testing.T) {
	var out, errs bytes.Buffer
	if code := run(t.Context(), []string{"bench", "step", "--preset", "tiny", "--batch", "2", "--threads", "1", "--steps", "2", "--json"}, &out, &errs); code != 0 {
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

func TestBenchRefusals(t *testing.T) {
	for _, args := range [][]string{{"--preset", "none"}, {"--batch", "0"}, {"--steps", "-1"}, {"--threads", "0"}, {"what"}} {
		var out, errs bytes.Buffer
		if code := run(t.Context(), append([]string{"bench", "step"}, args...), &out, &errs); code != exitUsage {
			t.Errorf("%v: exit %d: %s", args, code, &errs)
		}
	}
}
