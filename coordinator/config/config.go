package config

import (
	"errors"
	"fmt"
	"net"
	"runtime"
	"strings"

	"github.com/spf13/pflag"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm"
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
	Init      string

	Classes      int
	LabelDropout float64

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

	DryRun  bool
	Verbose bool

	flags *pflag.FlagSet
}

// DefaultPreset is the quick start's.
const DefaultPreset = "digits"

// DefaultLabelDropout is how often a label is withheld from a model with classes (Ho and
// Salimans 2022 find 0.1 and 0.2 alike).
const DefaultLabelDropout = 0.1

// Flags declares a flag for every setting and binds it to the config.
func (c *Config) Flags(fs *pflag.FlagSet) {
	c.flags = fs
	fs.SortFlags = false
	fs.IntVar(&c.Workers, "workers", 0, "how many workers the run waits for (needed)")
	fs.IntVar(&c.MinWorkers, "min-workers", 1, "begin with this many when nobody else joins for 30 s, and pause with fewer")
	fs.BoolVar(&c.Local, "local", false, "start the workers on this machine, as child processes")
	fs.IntVar(&c.Threads, "threads", 0, "threads of each worker (default: this machine's CPUs shared out with --local, all of its own elsewhere)")
	fs.StringVar(&c.Preset, "preset", DefaultPreset, "model and settings to start from: "+presetNames())
	fs.StringVar(&c.Dataset, "dataset", "", "a dataset's name in the Store, a path or s3:// URI of any form in docs/data.md, or glyphs:// (the default)")
	fs.StringVar(&c.Storage, "storage", "", "where runs are kept: a folder or s3://bucket/prefix?endpoint=HOST:PORT (default: the data dir)")
	fs.StringVar(&c.DataDir, "data-dir", "ddpm-data", "this coordinator's folder: embedded etcd, and the runs unless --storage says otherwise")
	fs.StringVar(&c.Run, "run", "", "the run's name (default: the preset's); a run that exists is resumed")
	fs.Uint64Var(&c.Steps, "steps", 0, "train until this many steps are complete (default: the preset's)")
	fs.IntVar(&c.Batch, "batch", 0, "examples of a step, over all workers (default: the preset's)")
	fs.IntVar(&c.ShardSize, "shard-size", 0, "examples of a shard, the unit that is dealt to workers (default: the preset's)")
	fs.Uint64Var(&c.Seed, "seed", 0, "seed of everything random (default: the preset's)")
	fs.Float64Var(&c.LR, "lr", 0, "learning rate after warm-up (default: the preset's)")
	fs.IntVar(&c.Classes, "classes", 0, "train a model of so many classes on the dataset's labels (default: the preset's, none)")
	fs.Float64Var(&c.LabelDropout, "label-dropout", DefaultLabelDropout, "with --classes: how often a label is withheld, so that sampling can use guidance")
	fs.StringVar(&c.Init, "init", "", "begin with the network in a folder of Hugging Face diffusers, a path or s3:// URI: its weights, architecture and noise schedule (default: new weights)")
	fs.Uint64Var(&c.CheckpointEvery, "checkpoint-every", 0, "steps between checkpoints (default: the preset's); the last step always has one")
	fs.IntVar(&c.KeepLast, "keep-last", 0, "keep this many of the newest checkpoints and delete older ones (default: keep all)")
	fs.Uint64Var(&c.KeepEvery, "keep-every", 0, "with --keep-last, also keep those of steps that are multiples of this")
	fs.StringVar(&c.Listen, "listen", "", "HOST:PORT for workers, port 0 is any free one (default: 127.0.0.1:7600, with --local 127.0.0.1:0)")
	fs.StringSliceVar(&c.HTTP, "http", nil, "HOST:PORT that serves the dashboard, /metrics, /api/samples and /healthz, or several (default: off)")
	fs.StringSliceVar(&c.Etcd, "etcd", nil, "endpoints of an external etcd (default: embedded)")
	fs.Uint64Var(&c.CompareEvery, "compare-every", 1, "steps between two comparisons of the workers' weights; 0 is never")
	fs.IntVar(&c.MaxSkipped, "max-skipped", 10, "end the run when this many steps in a row overflow; 0 is never")
	fs.BoolVar(&c.Standby, "standby", false, "wait until the leading coordinator is gone, and carry on in its place (needs --etcd)")
	fs.BoolVar(&c.HandOver, "hand-over", false, "when told to end, end at once and leave the workers training, for the coordinator that comes next (default: make a checkpoint and end the run)")
	fs.BoolVar(&c.ServeSamples, "serve-samples", false, "train nothing: serve the sampling pool alone, until interrupted (a coordinator that trains serves it too)")
	c.Security.flags(fs)
	fs.BoolVar(&c.DryRun, "dry-run", false, "print the resolved configuration and do nothing")
	fs.BoolVarP(&c.Verbose, "verbose", "v", false, "log more, the workers' lines included")
}

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
