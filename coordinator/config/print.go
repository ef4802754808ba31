package config

import (
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Print writes the resolved configuration as YAML that --config takes: the
// settings and, as a comment, the run's config that they lead to.
func (c *Config) Print(w io.Writer, p Plan) error {
	spec, err := p.Spec.Encode()
	if err != nil {
		return err
	}
	var tree yaml.Node // JSON is YAML, and a node keeps the order of the keys
	if err := yaml.Unmarshal(spec, &tree); err != nil {
		return fmt.Errorf("print the configuration: %w", err)
	}
	block(&tree)
	run, err := yaml.Marshal(struct {
		Spec *yaml.Node `yaml:"spec"`
	}{tree.Content[0]})
	if err != nil {
		return fmt.Errorf("print the configuration: %w", err)
	}
	var dropout *float64 // 0 is not the default, so it must be said
	if p.Spec.Classes() > 0 {
		dropout = &p.Spec.LabelDropout
	}
	var outerLR, outerMomentum *float64
	if l := &p.Spec.Local; l.Steps > 0 {
		outerLR, outerMomentum = &l.OuterRate, &l.OuterMomentum
	}
	settings, err := yaml.Marshal(struct {
		Workers         int      `yaml:"workers"`
		MinWorkers      int      `yaml:"min-workers"`
		Local           bool     `yaml:"local"`
		Threads         int      `yaml:"threads,omitempty"`
		Preset          string   `yaml:"preset"`
		Dataset         string   `yaml:"dataset"`
		Storage         string   `yaml:"storage"`
		DataDir         string   `yaml:"data-dir"`
		Run             string   `yaml:"run"`
		Steps           uint64   `yaml:"steps"`
		Batch           int      `yaml:"batch"`
		ShardSize       int      `yaml:"shard-size"`
		Seed            uint64   `yaml:"seed"`
		LR              float64  `yaml:"lr"`
		Timesteps       string   `yaml:"timesteps"`
		Classes         int      `yaml:"classes,omitempty"`
		LabelDropout    *float64 `yaml:"label-dropout,omitempty"`
		LocalSteps      int      `yaml:"local-steps,omitempty"`
		LocalGroups     int      `yaml:"local-groups,omitempty"`
		OuterLR         *float64 `yaml:"outer-lr,omitempty"`
		OuterMomentum   *float64 `yaml:"outer-momentum,omitempty"`
		GatherDtype     string   `yaml:"gather-dtype,omitempty"`
		FractionBits    int      `yaml:"fraction-bits"`
		Init            string   `yaml:"init,omitempty"`
		CheckpointEvery uint64   `yaml:"checkpoint-every"`
		KeepLast        int      `yaml:"keep-last,omitempty"`
		KeepEvery       uint64   `yaml:"keep-every,omitempty"`
		Listen          string   `yaml:"listen"`
		HTTP            []string `yaml:"http,omitempty"`
		Etcd            []string `yaml:"etcd,omitempty"`
		HandOver        bool     `yaml:"hand-over,omitempty"`
		TensorBoard     bool     `yaml:"tensorboard,omitempty"`
		Pprof           string   `yaml:"pprof,omitempty"`
		Insecure        bool     `yaml:"insecure,omitempty"`
		CACert          string   `yaml:"ca-cert,omitempty"`
		CAKey           string   `yaml:"ca-key,omitempty"`
		TokenFile       string   `yaml:"join-token-file,omitempty"`
		Names           []string `yaml:"tls-name,omitempty"`
		EtcdCACert      string   `yaml:"etcd-cacert,omitempty"`
		EtcdCert        string   `yaml:"etcd-cert,omitempty"`
		EtcdKey         string   `yaml:"etcd-key,omitempty"`
	}{
		c.Workers, c.MinWorkers, c.Local, c.Threads, p.Spec.Preset, p.Spec.Dataset, c.Storage, c.DataDir, p.Run, p.Steps,
		p.Spec.Batch, p.Spec.ShardSize, p.Spec.Seed, p.Spec.Optimizer.LearningRate, p.Spec.Timesteps, p.Spec.Classes(), dropout, p.Spec.Local.Steps, p.Spec.Local.Groups, outerLR, outerMomentum, p.Spec.GatherDtype, p.Spec.FractionBits, c.Init, p.CheckpointEvery, c.KeepLast, c.KeepEvery,
		c.Listen, c.HTTP, c.Etcd,
		c.HandOver, c.TensorBoard, c.Pprof, c.Security.Insecure, c.Security.CACert, c.Security.CAKey, c.Security.TokenFile, c.Security.Names, c.Security.EtcdCACert, c.Security.EtcdCert, c.Security.EtcdKey,
	})
	if err != nil {
		return fmt.Errorf("print the configuration: %w", err)
	}
	comment := strings.ReplaceAll(strings.TrimSuffix(string(run), "\n"), "\n", "\n# ")
	_, err = fmt.Fprintf(w, "# Settings, as --config takes them.\n%s\n# What the weights of a step depend on:\n#\n# %s\n", settings, comment)
	return err
}

// block turns JSON's flow style into YAML's usual one.
func block(n *yaml.Node) {
	n.Style = 0
	for _, child := range n.Content {
		block(child)
	}
}
