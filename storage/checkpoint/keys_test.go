package checkpoint

import (
	"errors"
	"strings"
	"testing"

	"github.com/ddpm-cluster/ddpm-cluster/storage"
)

func TestKeys(t *testing.T) {
	for got, want := range map[string]string{
		RunKey("a"):                   "runs/a/run.json",
		MetricsKey("a"):               "runs/a/metrics.jsonl",
		StepPrefix("a", 5000):         "runs/a/checkpoints/step-00005000/",
		StepPrefix("a", 1234567890):   "runs/a/checkpoints/step-1234567890/",
		PartKey(0, 8):                 "state/part-00000-of-00008.safetensors",
		PartKey(7, 100000):            "state/part-00007-of-100000.safetensors",
		CheckpointsPrefix("digits-2"): "runs/digits-2/checkpoints/",
	} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	for _, step := range []uint64{0, 1, 99_999_999, 100_000_000, 1<<64 - 1} {
		folder := strings.TrimSuffix(strings.TrimPrefix(StepPrefix("a", step), CheckpointsPrefix("a")), "/")
		if got, ok := parseStep(folder); !ok || got != step {
			t.Errorf("%s is read as %d, %v", folder, got, ok)
		}
	}
	for _, folder := range []string{"", "step-", "step-1", "step-000000001", "step-+0000001", "step-0000000x", "step-18446744073709551616", "00000001"} {
		if step, ok := parseStep(folder); ok {
			t.Errorf("%q is read as %d", folder, step)
		}
	}
}

func TestValidRunName(t *testing.T) {
	for _, run := range []string{"a", "0", "digits", "cifar10-2026.01_b", strings.Repeat("a", 63)} {
		if err := ValidRunName(run); err != nil {
			t.Error(err)
		}
	}
	for _, run := range []string{"", ".a", "-a", "_a", "a..b", "A", "a/b", "a b", "ä", "a\n", "..", strings.Repeat("a", 64)} {
		if err := ValidRunName(run); err == nil || !strings.Contains(err.Error(), "1 to 63") {
			t.Errorf("%q: %v", run, err)
		}
	}
}

func TestRun(t *testing.T) {
	st, _ := newStore(t)
	if _, err := ReadRun(t.Context(), st, testRun); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("no run: %v", err)
	}
	if err := CreateRun(t.Context(), st, testRun, []byte("{}\n")); err != nil {
		t.Fatal(err)
	}
	if err := CreateRun(t.Context(), st, testRun, []byte("[]\n")); !errors.Is(err, storage.ErrExists) {
		t.Errorf("again: %v", err)
	}
	if err := CreateRun(t.Context(), st, testRun, []byte("{}\n")); err != nil {
		t.Errorf("the same again: %v", err)
	}
	if data, err := ReadRun(t.Context(), st, testRun); err != nil || string(data) != "{}\n" {
		t.Errorf("got %q, %v", data, err)
	}
	orphan := StepPrefix("copied", 20) + ManifestKey
	if _, err := st.Put(t.Context(), orphan, strings.NewReader("{}"), 2, "application/json"); err != nil {
		t.Fatal(err)
	}
	if err := CreateRun(t.Context(), st, "copied", []byte("{}\n")); !errors.Is(err, ErrNoConfig) || !strings.Contains(err.Error(), orphan) {
		t.Errorf("checkpoints without their config: %v", err)
	}
	if _, err := ReadRun(t.Context(), st, "copied"); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("a config was made for them: %v", err)
	}
	big := strings.Repeat(" ", maxRun+1)
	if _, err := st.Put(t.Context(), RunKey(testRun), strings.NewReader(big), int64(len(big)), "application/json"); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadRun(t.Context(), st, testRun); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a huge one: %v", err)
	}
	for _, err := range []error{
		CreateRun(t.Context(), st, "../x", nil),
		func() error { _, err := ReadRun(t.Context(), st, "../x"); return err }(),
		func() error { _, _, err := Newest(t.Context(), st, "../x"); return err }(),
		func() error { _, err := At(t.Context(), st, "../x", 1); return err }(),
	} {
		if err == nil || !strings.Contains(err.Error(), "bad run name") {
			t.Errorf("got %v", err)
		}
	}
}
