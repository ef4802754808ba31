package config

import (
	"github.com/spf13/pflag"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm"
	"github.com/ddpm-cluster/ddpm-cluster/internal/logging"
)

// group is settings that belong together. The word in backquotes of a flag's usage is
// its unit, and "(default: …)" its default where that depends on other settings.
type group struct {
	title   string
	declare func(*pflag.FlagSet)
}

// groups are all settings, in the order in which people read of them.
func (c *Config) groups() []group {
	return []group{
		{"The cluster", c.clusterFlags},
		{"What is trained", c.specFlags},
		{"How long, and what is kept", c.lengthFlags},
		{"Where it is kept", c.placeFlags},
		{"Addresses", c.addressFlags},
		{"Certificates and tokens", c.Security.flags},
		{"Coordinators", c.coordinatorFlags},
		{"Seeing what it does", c.lookFlags},
	}
}

// Choices are the flags that take one of a few values, with these, for a shell to offer.
func Choices() map[string][]string {
	var presets []string
	for _, p := range ddpm.Presets() {
		presets = append(presets, p.Spec.Preset)
	}
	return map[string][]string{"preset": presets, "gather-dtype": {GatherFloat32, ddpm.GatherBF16}, "timesteps": {ddpm.TimestepsUniform, ddpm.TimestepsStratified}, "log-format": logging.Formats()}
}

// Flags declares a flag for every setting and binds it to the config.
func (c *Config) Flags(fs *pflag.FlagSet) {
	c.flags = fs
	fs.SortFlags = false
	for _, g := range c.groups() {
		fs.AddFlagSet(g.flags())
	}
}

func (g group) flags() *pflag.FlagSet {
	fs := pflag.NewFlagSet(g.title, pflag.ContinueOnError)
	fs.SortFlags = false
	g.declare(fs)
	return fs
}

func (c *Config) clusterFlags(fs *pflag.FlagSet) {
	fs.IntVar(&c.Workers, "workers", 0, "how many `workers` the run waits for (needed)")
	fs.IntVar(&c.MinWorkers, "min-workers", 1, "begin with this many `workers` when nobody else joins for 30 s, and pause with fewer")
	fs.BoolVar(&c.Local, "local", false, "start the workers on this machine, as child processes")
	fs.IntVar(&c.Threads, "threads", 0, "`threads` of each worker (default: this machine's CPUs shared out with --local, all of its own elsewhere)")
}

func (c *Config) specFlags(fs *pflag.FlagSet) {
	fs.StringVar(&c.Preset, "preset", DefaultPreset, "model and settings to start from, by `NAME`: "+presetNames())
	fs.StringVar(&c.Dataset, "dataset", "", "a dataset's name in the Store, or the path or s3:// `URI` of any form in docs/data.md (default: glyphs://, the built-in digits)")
	fs.IntVar(&c.Batch, "batch", 0, "`examples` of a step, over all workers (default: the preset's)")
	fs.IntVar(&c.ShardSize, "shard-size", 0, "`examples` of a shard, the unit that is dealt to workers (default: the preset's)")
	fs.Uint64Var(&c.Seed, "seed", 0, "seed of everything random, any `integer` from 0 (default: the preset's)")
	fs.Float64Var(&c.LR, "lr", 0, "learning `rate` after warm-up (default: the preset's)")
	fs.StringVar(&c.Timesteps, "timesteps", "", "how a batch draws its timesteps, by `PLAN`: "+ddpm.TimestepsUniform+", each on its own as in the paper, or "+ddpm.TimestepsStratified+", spread evenly over the batch, which makes losses less noisy (default: the preset's)")
	fs.IntVar(&c.Classes, "classes", 0, "train a model of so many `classes` on the dataset's labels, not with --init (default: the preset's, none)")
	fs.Float64Var(&c.LabelDropout, "label-dropout", DefaultLabelDropout, "with --classes: the `fraction` of labels that are withheld, so that sampling can use guidance")
	fs.IntVar(&c.LocalSteps, "local-steps", 0, "for slow links: each shard takes so many `steps` of its own between two exchanges (DiLoCo), and a step of the run is all of these (default: none)")
	fs.IntVar(&c.LocalGroups, "local-groups", 0, "with --local-steps: cut a step's shards into so many `groups`, each of which takes its local steps together, on one worker or on several that are near each other (default: each shard on its own)")
	fs.Float64Var(&c.OuterLR, "outer-lr", ddpm.DefaultOuterRate, "with --local-steps: learning `rate` of the exchange")
	fs.Float64Var(&c.OuterMomentum, "outer-momentum", ddpm.DefaultOuterMomentum, "with --local-steps: Nesterov `momentum` of the exchange, from 0 to below 1")
	fs.StringVar(&c.GatherDtype, "gather-dtype", GatherFloat32, "round the averaged gradient to this `TYPE`, float32 or bf16, which takes half the bytes of the second half of the all-reduce")
	fs.IntVar(&c.FractionBits, "fraction-bits", 0, "`bits` after the point in which gradients are summed, 24 to 48; fewer take fewer bytes (default: the preset's)")
	fs.StringVar(&c.Init, "init", "", "begin with the network in a `FOLDER` of Hugging Face diffusers, a path or s3:// URI: its weights, architecture and noise schedule (default: new weights)")
}

func (c *Config) lengthFlags(fs *pflag.FlagSet) {
	fs.StringVar(&c.Run, "run", "", "the run's `NAME`; a run that exists is resumed (default: the preset's)")
	fs.Uint64Var(&c.Steps, "steps", 0, "train until this many `steps` are complete (default: the preset's)")
	fs.Uint64Var(&c.CheckpointEvery, "checkpoint-every", 0, "`steps` between checkpoints; the last step always has one (default: the preset's)")
	fs.IntVar(&c.KeepLast, "keep-last", 0, "keep this many of the newest `checkpoints` and delete older ones (default: all)")
	fs.Uint64Var(&c.KeepEvery, "keep-every", 0, "with --keep-last, also keep the checkpoints whose `steps` are multiples of this (default: none)")
	fs.Uint64Var(&c.CompareEvery, "compare-every", 1, "`steps` between two comparisons of the workers' weights; 0 is never")
	fs.IntVar(&c.MaxSkipped, "max-skipped", 10, "end the run when this many `steps` in a row overflow; 0 is never")
}

func (c *Config) placeFlags(fs *pflag.FlagSet) {
	fs.StringVar(&c.Storage, "storage", "", "where runs are kept: a folder or `URI`, s3://bucket/prefix?endpoint=HOST:PORT (default: the data dir)")
	fs.StringVar(&c.DataDir, "data-dir", "ddpm-data", "this coordinator's `FOLDER`: embedded etcd, and the runs unless --storage says otherwise")
}

func (c *Config) addressFlags(fs *pflag.FlagSet) {
	fs.StringVar(&c.Listen, "listen", "", "`HOST:PORT` for workers, port 0 is any free one (default: 127.0.0.1:7600, with --local 127.0.0.1:0)")
	fs.StringSliceVar(&c.HTTP, "http", nil, "`HOST:PORT` that serves the dashboard, /metrics, /api/samples and /healthz, or several (default: off)")
	fs.StringSliceVar(&c.Etcd, "etcd", nil, "endpoints of an external etcd, `HOST:PORT,…` (default: embedded)")
}

func (c *Config) coordinatorFlags(fs *pflag.FlagSet) {
	fs.BoolVar(&c.Standby, "standby", false, "wait until the leading coordinator is gone, and carry on in its place (needs --etcd)")
	fs.BoolVar(&c.HandOver, "hand-over", false, "when told to end, end at once and leave the workers training, for the coordinator that comes next (default: make a checkpoint and end the run)")
	fs.BoolVar(&c.ServeSamples, "serve-samples", false, "train nothing: serve the sampling pool alone, until interrupted (a coordinator that trains serves it too)")
}

func (c *Config) lookFlags(fs *pflag.FlagSet) {
	fs.BoolVar(&c.TensorBoard, "tensorboard", false, "write event files for TensorBoard beside the run: scalars of every step, pictures of every checkpoint")
	fs.StringVar(&c.Metrics, "metrics", "", "`HOST:PORT` that serves /metrics and /healthz alone, to whoever reaches it, without TLS; a standby has it too (default: off)")
	fs.StringVar(&c.Pprof, "pprof", "", "`HOST:PORT` that serves Go's profiles under /debug/pprof/, to administrators' certificates alone (default: off)")
	fs.StringVar(&c.LogFormat, "log-format", logging.Auto, logging.Usage)
	fs.BoolVar(&c.DryRun, "dry-run", false, "print the resolved configuration and do nothing")
	fs.BoolVarP(&c.Verbose, "verbose", "v", false, "log more, the workers' lines included")
}

func (s *Security) flags(fs *pflag.FlagSet) {
	fs.BoolVar(&s.Insecure, "insecure", false, "without TLS and tokens; on loopback addresses alone")
	fs.StringVar(&s.CACert, "ca-cert", "", "PEM `FILE` with the cluster's certificate authority (default: one that is made in the data dir)")
	fs.StringVar(&s.CAKey, "ca-key", "", "PEM `FILE` with the authority's key (default: beside it)")
	fs.StringVar(&s.TokenFile, "join-token-file", "", "a `FILE` with a token that lets workers in until it is revoked, such as a mounted secret (default: one that is made in the data dir, for a day)")
	fs.StringSliceVar(&s.Names, "tls-name", nil, "further hosts, `HOST,…`, that the coordinator's certificate names, for browsers and proxies")
	fs.StringVar(&s.EtcdCACert, "etcd-cacert", "", "PEM `FILE` with the authority of --etcd")
	fs.StringVar(&s.EtcdCert, "etcd-cert", "", "PEM `FILE` with the coordinator's certificate for --etcd")
	fs.StringVar(&s.EtcdKey, "etcd-key", "", "PEM `FILE` with its key")
}
