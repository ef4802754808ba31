package ddpm

import (
	"fmt"
	"strings"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/diffusion"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/unet"
)

// Preset is a run's config and the length that suits it. Flags override single
// values.
type Preset struct {
	Spec Spec
	// About is one line for people.
	About string
	// Steps is how long to train.
	Steps uint64
	// CheckpointEvery is how often to checkpoint, in steps.
	CheckpointEvery uint64
}

// Presets lists the built-in presets, the quick start first.
func Presets() []Preset {
	return []Preset{digits(), mnist(), cifar10(), celebahq256(), lsun256(), tiny()}
}

// FindPreset returns the preset of a name.
func FindPreset(name string) (Preset, error) {
	var names []string
	for _, p := range Presets() {
		if p.Spec.Preset == name {
			return p, nil
		}
		names = append(names, p.Spec.Preset)
	}
	return Preset{}, fmt.Errorf("preset %q: there is no such preset; choose one of %s", name, strings.Join(names, ", "))
}

// paperSpec holds what all presets share: the settings of the paper's CIFAR-10
// run.
func paperSpec(name string, model unet.Config) Spec {
	model.OutChannels = model.InChannels
	model.NormEps = 1e-6
	return Spec{
		Format:    SpecFormat,
		Preset:    name,
		Kind:      KindCPU,
		Model:     model,
		Diffusion: diffusion.Linear(diffusion.FixedLarge),
		Optimizer: Optimizer{
			LearningRate: 2e-4, WarmupSteps: 5000,
			Beta1: 0.9, Beta2: 0.999, Epsilon: 1e-8,
			ClipNorm: 1, EMADecay: 0.9999,
		},
		Batch:        128,
		ShardSize:    4,
		Timesteps:    TimestepsUniform,
		FractionBits: 40,
		Seed:         1,
		Dataset:      "glyphs://",
	}
}

// ImportedSpec is the config of a run that holds a network from elsewhere, named by
// WeightsDigest, to sample from: it has no dataset to train on.
func ImportedSpec(model unet.Config, process diffusion.Config, weights string) Spec {
	s := paperSpec("imported", model)
	s.Model, s.Diffusion, s.Init, s.Dataset = model, process, weights, ""
	return s
}

func digits() Preset {
	s := paperSpec("digits", unet.Config{
		Size: 24, InChannels: 1, Channels: []int{32, 64, 64}, ResBlocks: 1, Attention: []int{12}, Groups: 8,
	})
	s.Optimizer.LearningRate, s.Optimizer.WarmupSteps, s.Optimizer.EMADecay = 1e-3, 100, 0.999
	s.Batch, s.ShardSize = 16, 4
	s.Timesteps = TimestepsStratified
	return Preset{Spec: s, About: "drawn digits, 24x24: the quick start, minutes on two cores", Steps: 3500, CheckpointEvery: 500}
}

func mnist() Preset {
	s := paperSpec("mnist", unet.Config{
		Size: 28, InChannels: 1, Channels: []int{32, 64, 64}, ResBlocks: 2, Attention: []int{7}, Groups: 8,
	})
	s.Optimizer.LearningRate, s.Optimizer.WarmupSteps, s.Optimizer.EMADecay = 1e-3, 100, 0.999
	s.Batch, s.ShardSize = 32, 4
	return Preset{Spec: s, About: "MNIST and its like, 28x28, 1.6 M parameters", Steps: 10000, CheckpointEvery: 1000}
}

func cifar10() Preset {
	s := paperSpec("cifar10", unet.Config{
		Size: 32, InChannels: 3, Channels: []int{128, 256, 256, 256}, ResBlocks: 2, Attention: []int{16}, Groups: 32, Dropout: 0.1,
	})
	s.Flip = true
	return Preset{Spec: s, About: "the paper's CIFAR-10 run, 32x32, 35.7 M parameters", Steps: 800_000, CheckpointEvery: 5000}
}

func celebahq256() Preset {
	return Preset{Spec: paper256("celebahq256"), About: "the paper's CelebA-HQ run, 256x256, 114 M parameters", Steps: 500_000, CheckpointEvery: 2000}
}

func lsun256() Preset {
	return Preset{Spec: paper256("lsun256"), About: "the paper's LSUN runs (Church), 256x256, 114 M parameters", Steps: 1_200_000, CheckpointEvery: 2000}
}

func paper256(name string) Spec {
	s := paperSpec(name, unet.Config{
		Size: 256, InChannels: 3, Channels: []int{128, 128, 256, 256, 512, 512}, ResBlocks: 2, Attention: []int{16}, Groups: 32,
	})
	s.Diffusion.Variance = diffusion.FixedSmall
	s.Optimizer.LearningRate = 2e-5
	s.Batch, s.ShardSize = 64, 1
	s.Flip = true
	return s
}

func tiny() Preset {
	s := paperSpec("tiny", unet.Config{
		Size: 8, InChannels: 1, Channels: []int{16, 32}, ResBlocks: 1, Attention: []int{4}, Groups: 4, Dropout: 0.1,
	})
	s.Optimizer.LearningRate, s.Optimizer.WarmupSteps, s.Optimizer.EMADecay = 1e-3, 10, 0.99
	s.Batch, s.ShardSize = 16, 2
	s.Flip = true
	return Preset{Spec: s, About: "8x8, for trying out a cluster: seconds", Steps: 100, CheckpointEvery: 50}
}
