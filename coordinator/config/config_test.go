package config

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm"
)

// parse makes a config as the command does: a file, if there is one, and flags.
func parse(t *testing.T, file string, args ...string) (*Config, error) {
	t.Helper()
	var c Config
	fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
	c.Flags(fs)
	fs.String("config", "", "")
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	if file != "" {
		path := filepath.Join(t.TempDir(), "run.yaml")
		if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := c.Load(path); err != nil {
			return &c, err
		}
	}
	return &c, c.Validate()
}

func resolve(t *testing.T, file string, args ...string) (*Config, Plan) {
	t.Helper()
	c, err := parse(t, file, args...)
	if err != nil {
		t.Fatal(err)
	}
	p, err := c.Resolve()
	if err != nil {
		t.Fatal(err)
	}
	return c, p
}

func TestDefaults(t *testing.T) {
	c, p := resolve(t, "", "--workers", "3")
	preset, err := ddpm.FindPreset(DefaultPreset)
	if err != nil {
		t.Fatal(err)
	}
	if c.MinWorkers != 3 || c.Listen != "127.0.0.1:7600" || c.DataDir != "ddpm-data" || c.Storage != c.DataDir || c.Threads != 0 || c.HTTP != "" || c.Etcd != nil {
		t.Errorf("settings %+v", c)
	}
	if p.Run != DefaultPreset || p.Steps != preset.Steps || p.CheckpointEvery != preset.CheckpointEvery || len(p.Spec.Differences(preset.Spec)) > 0 {
		t.Errorf("plan %+v, the preset has %+v", p, preset)
	}
	local, _ := resolve(t, "", "--workers", "10000", "--local")
	if local.Listen != "127.0.0.1:0" || local.Threads != 1 {
		t.Errorf("with --local: listen %s, threads %d", local.Listen, local.Threads)
	}
	if first, _ := resolve(t, "", "--workers", "1", "--local"); first.Threads < 1 {
		t.Errorf("with --local: threads %d", first.Threads)
	}
}

// Flags win over the file, whatever their order, and the file over defaults.
func TestPrecedence(t *testing.T) {
	file := "workers: 4\npreset: tiny\nseed: 9\nlr: 0.5\netcd: [a:1, b:2]\nlocal: true\n"
	c, p := resolve(t, file, "--seed", "0", "--etcd", "c:3")
	if c.Workers != 4 || p.Spec.Preset != "tiny" || p.Spec.Seed != 0 || p.Spec.Optimizer.LearningRate != 0.5 || !c.Local {
		t.Errorf("settings %+v, plan %+v", c, p)
	}
	if !reflect.DeepEqual(c.Etcd, []string{"c:3"}) {
		t.Errorf("etcd %v", c.Etcd)
	}
	c, _ = resolve(t, file)
	if !reflect.DeepEqual(c.Etcd, []string{"a:1", "b:2"}) {
		t.Errorf("etcd %v", c.Etcd)
	}
	if _, err := parse(t, "\n# nothing\n", "--workers", "1"); err != nil {
		t.Errorf("an empty file: %v", err)
	}
}

func TestFileErrors(t *testing.T) {
	for _, v := range []struct{ name, file, want string }{
		{"an unknown key", "workers: 1\nsede: 9\n", `run.yaml:2: unknown setting "sede"; did you mean "seed"?`},
		{"two of them", "shardsize: 1\nworkrs: 9\n", `run.yaml:2: unknown setting "workrs"; did you mean "workers"?`},
		{"a wrong value", "workers: 1\n\nsteps: many\n", "run.yaml:3: steps: "},
		{"no value", "workers: 1\nseed:\n", "run.yaml:2: seed: must have one value"},
		{"a mapping for a value", "workers: {a: 1}\n", "run.yaml:1: workers: must have one value"},
		{"a list of lists", "etcd: [[a]]\n", "run.yaml:1: etcd: must have one value"},
		{"a key twice", "seed: 1\nseed: 2\n", "run.yaml:2: seed is set twice"},
		{"what is for the command line", "dry-run: true\n", "run.yaml:1: dry-run can only be given on the command line"},
		{"a file for the file", "config: x\n", "run.yaml:1: config can only be given on the command line"},
		{"a list", "- workers\n", "run.yaml:1: must be a mapping"},
		{"no YAML", "a: b: c\n", "run.yaml"},
	} {
		t.Run(v.name, func(t *testing.T) {
			if _, err := parse(t, v.file, "--workers", "1"); err == nil || !strings.Contains(err.Error(), v.want) {
				t.Errorf("error %v, want %q", err, v.want)
			}
		})
	}
	var c Config
	c.Flags(pflag.NewFlagSet("test", pflag.ContinueOnError))
	if err := c.Load(filepath.Join(t.TempDir(), "none.yaml")); err == nil || !strings.Contains(err.Error(), "none.yaml") {
		t.Errorf("a file that isn't there: %v", err)
	}
}

func TestValidate(t *testing.T) {
	for _, v := range []struct {
		args []string
		want string
	}{
		{nil, "--workers 0"},
		{[]string{"--workers", "-1"}, "--workers -1"},
		{[]string{"--workers", "65537"}, "--workers 65537"},
		{[]string{"--workers", "2", "--min-workers", "3"}, "--min-workers 3: must be in 1 … --workers 2"},
		{[]string{"--workers", "2", "--min-workers", "0"}, "--min-workers 0"},
		{[]string{"--workers", "2", "--threads", "-1"}, "--threads -1"},
		{[]string{"--workers", "2", "--threads", "0"}, "--threads 0"},
		{[]string{"--workers", "2", "--threads", "5000"}, "--threads 5000"},
		{[]string{"--workers", "2", "--steps", "0"}, "--steps 0"},
		{[]string{"--workers", "2", "--batch", "0"}, "--batch 0"},
		{[]string{"--workers", "2", "--shard-size", "-4"}, "--shard-size -4"},
		{[]string{"--workers", "2", "--data-dir", ""}, "--data-dir: must not be empty"},
		{[]string{"--workers", "2", "--listen", "7600"}, "--listen 7600"},
		{[]string{"--workers", "2", "--listen", "a:"}, "--listen a:"},
		{[]string{"--workers", "2", "--http", "localhost"}, "--http localhost"},
		{[]string{"--workers", "2", "--run", "../x"}, "../x"},
		{[]string{"--workers", "2", "--run", ""}, "name"},
	} {
		if _, err := parse(t, "", v.args...); err == nil || !strings.Contains(err.Error(), v.want) {
			t.Errorf("%v: error %v, want %q", v.args, err, v.want)
		}
	}
	_, err := parse(t, "", "--steps", "0", "--batch", "0")
	for _, want := range []string{"--workers", "--steps", "--batch"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("of several mistakes %s is not told: %v", want, err)
		}
	}
}

func TestResolveErrors(t *testing.T) {
	for _, v := range []struct{ args, want string }{
		{"--preset=cifar", "--preset"},
		{"--shard-size=7", "shard-size 7"},
		{"--lr=-1", "lr"},
		{"--lr=NaN", "lr"},
	} {
		c, err := parse(t, "", "--workers", "1", v.args)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Resolve(); err == nil || !strings.Contains(err.Error(), v.want) {
			t.Errorf("%s: error %v, want %q", v.args, err, v.want)
		}
	}
}

func TestContinue(t *testing.T) {
	_, p := resolve(t, "", "--workers", "1", "--preset", "tiny", "--seed", "5")
	existing := p.Spec
	existing.Dataset, existing.DatasetDigest, existing.DatasetLen = "glyphs://?n=10", "sha256:aa", 10
	for _, v := range []struct {
		args []string
		want string // an error
	}{
		{nil, ""},
		{[]string{"--seed", "5", "--preset", "tiny"}, ""},
		{[]string{"--steps", "7", "--checkpoint-every", "3", "--run", "tiny"}, ""},
		{[]string{"--dataset", "/elsewhere"}, ""}, // its content decides
		{[]string{"--seed", "6"}, "seed"},
		{[]string{"--lr", "0.1"}, "run "},
		{[]string{"--batch", "32"}, "batch"},
		{[]string{"--shard-size", "4"}, "shard"},
		{[]string{"--preset", "mnist"}, "leave these settings out"},
		{[]string{"--preset", "mnits"}, "mnits"},
	} {
		c, err := parse(t, "", append([]string{"--workers", "1"}, v.args...)...)
		if err != nil {
			t.Fatal(err)
		}
		got, err := c.Continue(existing)
		if v.want != "" {
			if err == nil || !strings.Contains(err.Error(), v.want) {
				t.Errorf("%v: error %v, want %q", v.args, err, v.want)
			}
			continue
		}
		if err != nil || !reflect.DeepEqual(got.Spec, existing) {
			t.Errorf("%v: %v, spec %+v", v.args, err, got.Spec)
		}
		if c.Given("steps") && (got.Steps != 7 || got.CheckpointEvery != 3) {
			t.Errorf("%v: plan %+v", v.args, got)
		}
	}
}

// What a dry run prints is a file that leads to the same run.
func TestPrintLoadsAgain(t *testing.T) {
	for _, args := range [][]string{
		{"--workers", "2", "--local"},
		{"--workers", "5", "--min-workers", "3", "--preset", "cifar10", "--dataset", "/data: #odd", "--storage", "s3://b/p?endpoint=h:1",
			"--data-dir", "some where", "--run", "1e5", "--steps", "123", "--batch", "64", "--shard-size", "8", "--seed", "18446744073709551615",
			"--lr", "3e-05", "--checkpoint-every", "0", "--listen", "0.0.0.0:0", "--http", ":0", "--etcd", "a:1,b:2", "--threads", "3"},
	} {
		c, p := resolve(t, "", args...)
		var first, second bytes.Buffer
		if err := c.Print(&first, p); err != nil {
			t.Fatal(err)
		}
		c2, p2 := resolve(t, first.String())
		if err := c2.Print(&second, p2); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(p, p2) || first.String() != second.String() {
			t.Errorf("%v: it leads to another run:\n%s\n%s", args, &first, &second)
		}
		c.flags, c2.flags = nil, nil
		c.Preset, c.Run, c.Dataset, c.Batch, c.ShardSize, c.Seed, c.LR, c.Steps, c.CheckpointEvery = c2.Preset, c2.Run, c2.Dataset, c2.Batch, c2.ShardSize, c2.Seed, c2.LR, c2.Steps, c2.CheckpointEvery
		if !reflect.DeepEqual(c, c2) {
			t.Errorf("%v: settings\n%+v became\n%+v", args, c, c2)
		}
	}
}

func FuzzLoad(f *testing.F) {
	for _, s := range []string{"workers: 1\n", "a: [", "seed: 1\nseed: 2", "- x", "&a [*a]", "? {a: b}\n: c", "etcd: [a, b]"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := parse(t, text, "--workers", "1")
		if err == nil && c.Workers != 1 {
			t.Errorf("a file changed what a flag gave: %d", c.Workers)
		}
	})
}
