package ddpm

import (
	"math"
	"strings"
	"testing"
)

func TestPresetsAreValid(t *testing.T) {
	params := map[string]int{"cifar10": 35_746_307, "celebahq256": 113_673_219, "lsun256": 113_673_219}
	for _, p := range Presets() {
		if err := p.Spec.Validate(); err != nil {
			t.Errorf("%s: %v", p.Spec.Preset, err)
		}
		if want := params[p.Spec.Preset]; want != 0 && p.Spec.Model.ParamCount() != want {
			t.Errorf("%s has %d parameters, want %d", p.Spec.Preset, p.Spec.Model.ParamCount(), want)
		}
		if p.Steps == 0 || p.CheckpointEvery == 0 || p.About == "" {
			t.Errorf("%s lacks a length or a description", p.Spec.Preset)
		}
	}
	if _, err := FindPreset("cifar"); err == nil || !strings.Contains(err.Error(), "cifar10") {
		t.Errorf("an unknown preset: %v", err)
	}
}

func TestSpecRoundTrip(t *testing.T) {
	for _, p := range Presets() {
		b, err := p.Spec.Encode()
		if err != nil {
			t.Fatal(err)
		}
		got, err := DecodeSpec(b)
		if err != nil {
			t.Fatal(err)
		}
		if d := got.Differences(p.Spec); len(d) > 0 || got.Preset != p.Spec.Preset {
			t.Errorf("%s changed on the way: %v", p.Spec.Preset, d)
		}
	}
}

func TestDecodeSpecRefuses(t *testing.T) {
	good, err := tiny().Spec.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"unknown key":      strings.Replace(string(good), `"seed"`, `"sede"`, 1),
		"an older format":  strings.Replace(string(good), `"format": 2`, `"format": 1`, 1),
		"a newer format":   strings.Replace(string(good), `"format": 2`, `"format": 3`, 1),
		"not JSON":         "x",
		"a bad shard size": strings.Replace(string(good), `"shard_size": 2`, `"shard_size": 3`, 1),
	} {
		if _, err := DecodeSpec([]byte(text)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestBatchErrorsHelp(t *testing.T) {
	for _, v := range []struct {
		batch, shard int
		want         string
	}{
		{64, 7, "shard-size 7 does not divide batch 64; divisors near it: [4 8]"},
		{63, 62, "divisors near it: [21 63]"},
		{64, 0, "shard-size 0: must be in 1 … 64"},
		{64, 65, "shard-size 65: must be in 1 … 64"},
		{64, math.MaxInt, "must be in 1 … 64"},
		{0, 1, "batch 0: must be in 1 … 1048576"},
		{math.MaxInt, 1, "must be in 1 … 1048576"},
	} {
		s := tiny().Spec
		s.Batch, s.ShardSize = v.batch, v.shard
		if err := s.Validate(); err == nil || !strings.Contains(err.Error(), v.want) {
			t.Errorf("batch %d, shard-size %d: got %v, want %q", v.batch, v.shard, err, v.want)
		}
	}
}

func TestDifferences(t *testing.T) {
	a := tiny().Spec
	a.Dataset, a.DatasetDigest = "/a", "sha256:1"
	b := a
	b.Dataset, b.Preset = "/b", "other"
	if d := a.Differences(b); len(d) != 0 {
		t.Errorf("the same data elsewhere counts as a difference: %v", d)
	}
	b.DatasetDigest = "sha256:2"
	b.Optimizer.LearningRate = 0.5
	got := strings.Join(a.Differences(b), "\n")
	for _, want := range []string{"dataset: /a, not /b", "dataset_digest: sha256:1, not sha256:2", "optimizer.learning_rate: 0.001, not 0.5"} {
		if !strings.Contains(got, want) {
			t.Errorf("differences lack %q:\n%s", want, got)
		}
	}
}
