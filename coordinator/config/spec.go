package config

import (
	"fmt"
	"strings"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm"
)

// Plan is what the settings resolve to.
type Plan struct {
	Spec ddpm.Spec
	// Run is the run's name.
	Run string
	// Steps and CheckpointEvery never change the weights of a step.
	Steps, CheckpointEvery uint64
}

// RunName is the run's name, which depends on the settings alone.
func (c *Config) RunName() string {
	if c.Run != "" {
		return c.Run
	}
	return c.Preset
}

// Resolve makes the plan of a new run: the preset's values, and those given. The
// dataset is not opened yet.
func (c *Config) Resolve() (Plan, error) {
	preset, err := ddpm.FindPreset(c.Preset)
	if err != nil {
		return Plan{}, fmt.Errorf("--preset: %w", err)
	}
	p := Plan{Spec: preset.Spec, Run: c.RunName(), Steps: preset.Steps, CheckpointEvery: preset.CheckpointEvery}
	c.override(&p.Spec)
	c.length(&p)
	if err := p.Spec.Validate(); err != nil {
		return Plan{}, err
	}
	return p, nil
}

// Continue makes the plan of a run that exists: its own values. A given setting
// that would change them is an error, since it would be another run.
func (c *Config) Continue(existing ddpm.Spec) (Plan, error) {
	p := Plan{Spec: existing, Run: c.RunName()}
	if preset, err := ddpm.FindPreset(existing.Preset); err == nil {
		p.Steps, p.CheckpointEvery = preset.Steps, preset.CheckpointEvery
	}
	c.length(&p)
	wanted := existing
	if c.Given("preset") && c.Preset != existing.Preset {
		preset, err := ddpm.FindPreset(c.Preset)
		if err != nil {
			return Plan{}, fmt.Errorf("--preset: %w", err)
		}
		wanted = preset.Spec
		wanted.Dataset, wanted.DatasetDigest, wanted.DatasetLen = existing.Dataset, existing.DatasetDigest, existing.DatasetLen
		wanted.LabelsDigest = existing.LabelsDigest
	}
	dataset := wanted.Dataset
	c.override(&wanted)
	wanted.Dataset = dataset // its content decides, not its path
	return p, Conflict(p.Run, wanted, existing)
}

// Conflict says in what the wanted config differs from that of an existing run.
func Conflict(run string, wanted, existing ddpm.Spec) error {
	if d := wanted.Differences(existing); len(d) > 0 {
		return fmt.Errorf("run %s exists with another config (%s); leave these settings out to resume it, or choose another --run", run, strings.Join(d, "; "))
	}
	return nil
}

// override puts the given values in the place of the preset's.
func (c *Config) override(s *ddpm.Spec) {
	if c.Given("dataset") {
		s.Dataset = c.Dataset
	}
	if c.Given("batch") {
		s.Batch = c.Batch
	}
	if c.Given("shard-size") {
		s.ShardSize = c.ShardSize
	}
	if c.Given("seed") {
		s.Seed = c.Seed
	}
	if c.Given("lr") {
		s.Optimizer.LearningRate = c.LR
	}
	if c.Given("timesteps") {
		s.Timesteps = c.Timesteps
	}
	if c.Given("local-steps") {
		s.Local = ddpm.Local{Steps: c.LocalSteps, OuterRate: c.OuterLR, OuterMomentum: c.OuterMomentum}
		*s = s.WithGroups(c.LocalGroups)
	}
	if c.Given("fraction-bits") {
		s.FractionBits = c.FractionBits
	}
	if c.Given("gather-dtype") {
		s.GatherDtype = map[string]string{ddpm.GatherBF16: ddpm.GatherBF16}[c.GatherDtype] // float32 is not said
	}
	if c.Given("classes") {
		*s = s.WithClasses(c.Classes, c.LabelDropout)
	}
}

func (c *Config) length(p *Plan) {
	if c.Given("steps") {
		p.Steps = c.Steps
	}
	if c.Given("checkpoint-every") {
		p.CheckpointEvery = c.CheckpointEvery
	}
}
