package config

import (
	"errors"
	"fmt"
	"net"
	"runtime"
	"strings"

	"github.com/spf13/pflag"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm"
	"github.com/ddpm-cluster/ddpm-cluster/internal/logging"
	"github.com/ddpm-cluster/ddpm-cluster/storage"
	"github.com/ddpm-cluster/ddpm-cluster/storage/checkpoint"
)

// Config is how a run is started. What the weights depend on goes into
// ddpm.Spec; the rest never changes a bit.
type Config struct {
	Workers, MinWorkers int
	Local               bool
	Threads             int

	Preset    string
	Dataset   string
	Batch     int
	ShardSize int
	Seed      uint64
	LR        float64
	Timesteps string
	Init      string

	// LocalSteps, with LocalGroups, OuterLR and OuterMomentum, is the mode of little communication.
	LocalSteps, LocalGroups int
	OuterLR, OuterMomentum  float64

	Classes      int
	LabelDropout float64

	GatherDtype  string
	FractionBits int

	Storage string
	DataDir string
	Run     string

	Steps           uint64
	CheckpointEvery uint64
	KeepLast        int
	KeepEvery       uint64

	// CompareEvery is how often members compare their weights, in steps.
	CompareEvery uint64
	MaxSkipped   int
	Standby      bool
	// HandOver lets the workers train on when the coordinator is told to end.
	HandOver bool
	// ServeSamples is a coordinator of the sampling pool alone.
	ServeSamples bool

	Listen string
	HTTP   []string
	Etcd   []string

	Security Security

	// TensorBoard writes event files beside the run.
	TensorBoard bool
	// Metrics is where metrics and health are served to whoever asks, "" nowhere.
	Metrics string
	// Pprof is where profiles are served to administrators, "" nowhere.
	Pprof     string
	LogFormat string

	DryRun  bool
	Verbose bool

	flags *pflag.FlagSet
}

// DefaultPreset is the quick start's.
const DefaultPreset = "digits"

// DefaultLabelDropout is how often a label is withheld from a model with classes (Ho and
// Salimans 2022 find 0.1 and 0.2 alike).
const DefaultLabelDropout = 0.1

// GatherFloat32 is the --gather-dtype that rounds nothing.
const GatherFloat32 = "float32"

func presetNames() string {
	var names []string
	for _, p := range ddpm.Presets() {
		names = append(names, p.Spec.Preset)
	}
	return strings.Join(names, ", ")
}

// Given says whether a setting was given, by flag or by file.
func (c *Config) Given(name string) bool { return c.flags.Changed(name) }

// Validate reports everything that is wrong with the settings by themselves, and
// fills in the defaults that depend on others.
func (c *Config) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(c.ServeSamples || c.Workers >= 1 && c.Workers <= 1<<16, "--workers %d: give how many workers the run has, at least 1", c.Workers)
	check(c.Workers < 1 || c.MinWorkers >= 1 && c.MinWorkers <= c.Workers, "--min-workers %d: must be in 1 … --workers %d", c.MinWorkers, c.Workers)
	check(c.MaxSkipped >= 0, "--max-skipped %d: must be at least 1, or 0 for never", c.MaxSkipped)
	check(!c.Standby || len(c.Etcd) > 0 && !c.Local, "--standby: needs an --etcd that both coordinators reach, and workers of their own")
	check(!c.HandOver || !c.Local, "--hand-over: local workers end with their coordinator; give one of --hand-over and --local")
	check(!c.ServeSamples || !c.Local && !c.Standby && !c.DryRun && c.Workers == 0, "--serve-samples: is without --workers, --local, --standby and --dry-run")
	check(c.Threads >= 0 && c.Threads <= 4096, "--threads %d: must be in 1 … 4096, or left out", c.Threads)
	check(!c.Given("threads") || c.Threads > 0, "--threads 0: must be at least 1, or left out")
	check(!c.Given("steps") || c.Steps > 0, "--steps 0: must be at least 1")
	check(!c.Given("batch") || c.Batch > 0, "--batch %d: must be at least 1", c.Batch)
	check(!c.Given("shard-size") || c.ShardSize > 0, "--shard-size %d: must be at least 1", c.ShardSize)
	check(!c.Given("classes") || c.Classes > 0, "--classes %d: must be at least 1, or left out", c.Classes)
	check(!c.Given("label-dropout") || c.Given("classes"), "--label-dropout: only a model with classes has labels; give --classes too")
	check(c.LabelDropout >= 0 && c.LabelDropout < 1, "--label-dropout %g: must be in [0, 1)", c.LabelDropout)
	check(!c.Given("local-steps") || c.LocalSteps > 0, "--local-steps %d: must be at least 1, or left out", c.LocalSteps)
	check(!c.Given("local-groups") || c.LocalGroups > 0, "--local-groups %d: must be at least 1, or left out", c.LocalGroups)
	for _, name := range []string{"outer-lr", "outer-momentum", "local-groups"} {
		check(!c.Given(name) || c.Given("local-steps"), "--%s: is of a run with local steps; give --local-steps too", name)
	}
	check(!c.Given("timesteps") || c.Timesteps == ddpm.TimestepsUniform || c.Timesteps == ddpm.TimestepsStratified,
		"--timesteps %q: must be %s or %s", c.Timesteps, ddpm.TimestepsUniform, ddpm.TimestepsStratified)
	check(c.GatherDtype == GatherFloat32 || c.GatherDtype == ddpm.GatherBF16, "--gather-dtype %q: must be %s or %s", c.GatherDtype, GatherFloat32, ddpm.GatherBF16)
	check(!c.Given("fraction-bits") || c.FractionBits >= ddpm.MinFractionBits && c.FractionBits <= ddpm.MaxFractionBits,
		"--fraction-bits %d: must be in %d … %d", c.FractionBits, ddpm.MinFractionBits, ddpm.MaxFractionBits)
	check(!c.Given("dataset") || c.Dataset != "", "--dataset: must not be empty; leave it out for the built-in glyphs://")
	check(c.KeepLast >= 0 && (!c.Given("keep-last") || c.KeepLast > 0), "--keep-last %d: must be at least 1, or left out to keep all", c.KeepLast)
	check(c.KeepEvery == 0 || c.KeepLast > 0, "--keep-every %d: without --keep-last all checkpoints are kept; give both", c.KeepEvery)
	check(c.DataDir != "", "--data-dir: must not be empty")
	if c.Listen == "" {
		c.Listen = "127.0.0.1:7600"
		if c.Local {
			c.Listen = "127.0.0.1:0"
		}
	}
	check(address(c.Listen), "--listen %s: must be HOST:PORT, with port 0 for any free one", c.Listen)
	for _, a := range c.HTTP {
		check(address(a), "--http %s: must be HOST:PORT, with port 0 for any free one", a)
	}
	check(c.Metrics == "" || address(c.Metrics), "--metrics %s: must be HOST:PORT, with port 0 for any free one", c.Metrics)
	check(c.Pprof == "" || address(c.Pprof), "--pprof %s: must be HOST:PORT, with port 0 for any free one", c.Pprof)
	check(logging.Valid(c.LogFormat), "--log-format %s: must be one of %s", c.LogFormat, strings.Join(logging.Formats(), ", "))
	errs = append(errs, c.validateSecurity())
	if c.Storage == "" {
		c.Storage = c.DataDir
	}
	if _, err := storage.Canonical(c.Storage); err != nil {
		errs = append(errs, fmt.Errorf("--storage: %w", err))
	}
	if c.Local && c.Threads == 0 && c.Workers > 0 {
		c.Threads = max(1, runtime.NumCPU()/c.Workers)
	}
	if c.Given("init") {
		_, err := storage.Canonical(c.Init)
		check(err == nil, "--init: %w", err)
	}
	if c.Given("run") {
		errs = append(errs, checkpoint.ValidRunName(c.Run))
	}
	return errors.Join(errs...)
}

func address(s string) bool {
	_, port, err := net.SplitHostPort(s)
	return err == nil && port != ""
}
