package config

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/pflag"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm"
	"github.com/ddpm-cluster/ddpm-cluster/internal/reference"
)

// Reference writes docs/configuration.md: every setting, and what the presets have.
func Reference(w io.Writer) error {
	var b strings.Builder
	b.WriteString(`# Configuration

*Generated from the code by ` + "`make reference`" + `.*

A coordinator is configured by flags, by the YAML file of ` + "`--config FILE`" + `, or by both: a
key of the file is the name of a flag without its dashes, and flags win. Workers are told
the run's config when they join, and have flags of their own ([cli.md](cli.md#ddpm-worker)).
` + "`--dry-run`" + ` prints what the settings resolve to, as a file that ` + "`--config`" + ` takes. An unknown
key, one that is there twice, and a value of another kind (` + "`workers: many`" + `) are errors with
their line; a value out of bounds (` + "`lr: -3`" + `) is an error with its name.

` + "```yaml" + `
workers: 8
preset: cifar10
dataset: cifar10
storage: s3://ddpm?endpoint=minio:9000
listen: 192.0.2.10:7600
keep-last: 5
` + "```" + `

What the weights depend on is under *What is trained*, and nothing else is: the rest may
differ from start to start, and never changes a bit.
`)
	c := new(Config)
	for _, g := range c.groups() {
		fmt.Fprintf(&b, "\n## %s\n", g.title)
		var keys []reference.Flag
		g.flags().VisitAll(func(f *pflag.Flag) {
			if !notInFile[f.Name] {
				d := reference.Describe(f)
				if d.Unit == "" {
					d.Unit = "true, false"
				}
				keys = append(keys, d)
			}
		})
		reference.Table(&b, "key", "", keys)
	}
	presets(&b)
	environment(&b)
	_, err := io.WriteString(w, b.String())
	return err
}

// presets is the table of what "the preset's" means.
func presets(b *strings.Builder) {
	b.WriteString("\n## What the presets have\n\n| preset | steps | checkpoint-every | batch | shard-size | seed | lr | image | parameters | |\n|---|---|---|---|---|---|---|---|---|---|\n")
	for _, p := range ddpm.Presets() {
		s := p.Spec
		fmt.Fprintf(b, "| `%s` | %d | %d | %d | %d | %d | %g | %dx%dx%d | %d | %s |\n", s.Preset, p.Steps, p.CheckpointEvery, s.Batch, s.ShardSize, s.Seed,
			s.Optimizer.LearningRate, s.Model.Size, s.Model.Size, s.Model.InChannels, s.Model.ParamCount(), p.About)
	}
}

// environment is what all commands read from their environment.
func environment(b *strings.Builder) {
	b.WriteString("\n## Environment\n\n| variable | read by | what it is |\n|---|---|---|\n")
	for _, v := range Variables() {
		fmt.Fprintf(b, "| `%s` | %s | %s |\n", v.Name, v.By, v.Meaning)
	}
}

// Variable is one of the environment.
type Variable struct{ Name, By, Meaning string }

// Variables are those that the commands read themselves.
func Variables() []Variable {
	return []Variable{
		{"DDPM_TOKEN", "ddpm-worker", "the token, in the place of `--token`"},
		{"DDPM_CA_HASH", "ddpm-worker", "the authority's hash, in the place of `--ca-hash`"},
		{"DDPM_ADMIN", "ddpmctl", "the administrator's file, in the place of `--config`"},
		{"DDPM_CACHE_SIZE", "ddpm-worker", "what `--cache-size` is where it is not given: of `--local` workers, which have no flags, too"},
		{"DDPM_CPU_LEVEL", "all", "`portable`, `avx2` or `avx512`: kernels of this level at most; the bits are the same"},
		{"DDPM_LOG_FORMAT", "coordinator, worker", "`text` or `json`: what `--log-format auto` is"},
		{"AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN", "all", "credentials for an S3 Store; `MINIO_ROOT_USER` and `MINIO_ROOT_PASSWORD` do as well. Without them: ~/.aws/credentials, or the machine's role"},
	}
}
