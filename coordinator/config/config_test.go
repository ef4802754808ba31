package config

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm"
)

// parse reads a command line, and a file where its text is not empty.
func parse(t *testing.T, file string, args ...string) (*Config, error) {
	t.Helper()
	c := new(Config)
	fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
	c.Flags(fs)
	if err := fs.Parse(args); err != nil {
		t.Fatal(err)
	}
	if file == "" {
		return c, nil
	}
	path := filepath.Join(t.TempDir(), "run.yaml")
	if err := os.WriteFile(path, []byte(file), 0o644); err != nil {
		t.Fatal(err)
	}
	return c, c.Load(path)
}

// mustParse is for settings that are right.
func mustParse(t *testing.T, file string, args ...string) *Config {
	t.Helper()
	c, err := parse(t, file, args...)
	if err == nil {
		err = c.Validate()
	}
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestDefaults(t *testing.T) {
	c := mustParse(t, "", "--workers", "3")
	if c.MinWorkers != 1 || c.Listen != "127.0.0.1:7600" || c.Storage != c.DataDir || c.Preset != DefaultPreset || c.Threads != 0 {
		t.Errorf("%+v", c)
	}
	if c := mustParse(t, "", "--workers", "3", "--local"); c.Listen != "127.0.0.1:0" || c.Threads < 1 {
		t.Errorf("with --local: %+v", c)
	}
}

// A file fills in what flags leave open, and counts as given.
func TestFlagsWinOverTheFile(t *testing.T) {
	c := mustParse(t, "workers: 4\nseed: 9\nlr: 1e-4\nlocal: true\netcd: [a:1, b:2]\n", "--seed", "7", "--min-workers", "2")
	if c.Workers != 4 || c.MinWorkers != 2 || c.Seed != 7 || c.LR != 1e-4 || !c.Local || !slices.Equal(c.Etcd, []string{"a:1", "b:2"}) {
		t.Errorf("%+v", c)
	}
	for name, want := range map[string]bool{"workers": true, "seed": true, "lr": true, "batch": false, "preset": false} {
		if c.Given(name) != want {
			t.Errorf("Given(%q) is %v", name, !want)
		}
	}
}

func TestFileErrors(t *testing.T) {
	for _, v := range []struct {
		name, file string
		want       []string
	}{
		{"an unknown key", "workers: 2\nsede: 1\n", []string{"run.yaml:2", `"sede"`, `"seed"`}},
		{"a longer slip", "workers: 2\n\n\ncheckpoint_every: 10\n", []string{"run.yaml:4", `"checkpoint-every"`}},
		{"two at once", "worker: 2\nshardsize: 1\n", []string{"run.yaml:1", "run.yaml:2", `"workers"`, `"shard-size"`}},
		{"a key that is no setting", "config: other.yaml\n", []string{"run.yaml:1", `"config"`}},
		{"a key twice", "seed: 1\nseed: 2\n", []string{"run.yaml", "2"}},
		{"a bad value", "workers: many\n", []string{"run.yaml:1", "workers", "many"}},
		{"fraction-bits that are no number", "fraction-bits: all\n", []string{"run.yaml:1", "fraction-bits", "all"}},
		{"a mapping for a value", "seed:\n  a: 1\n", []string{"run.yaml:1", "seed"}},
		{"no value", "workers: 1\ndataset:\n", []string{"run.yaml:2", "dataset", "no value"}},
		{"null", "run: null\n", []string{"run.yaml:1", "run", "no value"}},
		{"a list in a list", "etcd:\n- a:1\n- [b:1]\n", []string{"run.yaml:1", "etcd"}},
		{"a list for one value", "seed: [1, 2]\n", []string{"run.yaml:1", "seed"}},
		{"two documents", "seed: 1\n---\nseed: 2\n", []string{"run.yaml", "one document"}},
		{"a list", "- workers\n", []string{"run.yaml:1", "mapping"}},
		{"no YAML", "workers: [\n", []string{"run.yaml", "line"}},
		{"a tab", "\tworkers: 1\n", []string{"run.yaml", "line 1", "cannot start any token"}},
		{"a tab further down", "workers: 1\n\tseed: 1\n", []string{"run.yaml", "line 2", "tab"}},
	} {
		t.Run(v.name, func(t *testing.T) {
			_, err := parse(t, v.file)
			if err == nil {
				t.Fatal("no error")
			}
			for _, w := range v.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("the error does not say %q: %v", w, err)
				}
			}
		})
	}
	if c, err := parse(t, "# nothing set\n", "--workers", "1"); err != nil || c.Workers != 1 {
		t.Errorf("an empty file: %v", err)
	}
	if err := new(Config).Load(filepath.Join(t.TempDir(), "absent.yaml")); err == nil || !strings.Contains(err.Error(), "absent.yaml") {
		t.Errorf("a file that is not there: %v", err)
	}
}

func TestValidate(t *testing.T) {
	for _, v := range []struct {
		name string
		args []string
		want string
	}{
		{"no workers", nil, "--workers 0"},
		{"negative workers", []string{"--workers", "-1"}, "--workers -1"},
		{"min-workers above workers", []string{"--workers", "2", "--min-workers", "3"}, "--min-workers 3"},
		{"min-workers 0", []string{"--workers", "2", "--min-workers", "0"}, "--min-workers 0"},
		{"threads 0", []string{"--workers", "2", "--threads", "0"}, "--threads 0"},
		{"steps 0", []string{"--workers", "2", "--steps", "0"}, "--steps 0"},
		{"batch 0", []string{"--workers", "2", "--batch", "0"}, "--batch 0"},
		{"shard-size 0", []string{"--workers", "2", "--shard-size", "0"}, "--shard-size 0"},
		{"gather-dtype of no kind", []string{"--workers", "2", "--gather-dtype", "fp8"}, `--gather-dtype "fp8": must be float32 or bf16`},
		{"gather-dtype empty", []string{"--workers", "2", "--gather-dtype", ""}, `--gather-dtype ""`},
		{"timesteps of no kind", []string{"--workers", "2", "--timesteps", "even"}, `--timesteps "even": must be uniform or stratified`},
		{"fraction-bits 23", []string{"--workers", "2", "--fraction-bits", "23"}, "--fraction-bits 23: must be in 24 … 48"},
		{"fraction-bits 49", []string{"--workers", "2", "--fraction-bits", "49"}, "--fraction-bits 49: must be in 24 … 48"},
		{"fraction-bits 0", []string{"--workers", "2", "--fraction-bits", "0"}, "--fraction-bits 0"},
		{"local-groups 0", []string{"--workers", "2", "--local-steps", "2", "--local-groups", "0"}, "--local-groups 0: must be at least 1"},
		{"local-groups alone", []string{"--workers", "2", "--local-groups", "2"}, "--local-groups: is of a run with local steps; give --local-steps too"},
		{"outer-lr alone", []string{"--workers", "2", "--outer-lr", "0.5"}, "--outer-lr: is of a run with local steps"},
		{"keep-last 0", []string{"--workers", "2", "--keep-last", "0"}, "--keep-last 0"},
		{"keep-last -1", []string{"--workers", "2", "--keep-last", "-1"}, "--keep-last -1"},
		{"keep-every alone", []string{"--workers", "2", "--keep-every", "10"}, "--keep-every 10"},
		{"no dataset", []string{"--workers", "2", "--dataset", ""}, "--dataset"},
		{"no data dir", []string{"--workers", "2", "--data-dir", ""}, "--data-dir"},
		{"listen without a port", []string{"--workers", "2", "--listen", "localhost"}, "--listen localhost"},
		{"http without a port", []string{"--workers", "2", "--http", "localhost"}, "--http localhost"},
		{"a bad run name", []string{"--workers", "2", "--run", "../x"}, "../x"},
		{"an empty run name", []string{"--workers", "2", "--run", ""}, "run name"},
	} {
		t.Run(v.name, func(t *testing.T) {
			c, err := parse(t, "", v.args...)
			if err == nil {
				err = c.Validate()
			}
			if err == nil || !strings.Contains(err.Error(), v.want) {
				t.Errorf("the error is %v, want %q", err, v.want)
			}
		})
	}
}

func TestResolve(t *testing.T) {
	c := mustParse(t, "", "--workers", "2", "--preset", "mnist", "--batch", "64", "--seed", "0", "--steps", "7")
	p, err := c.Resolve()
	if err != nil {
		t.Fatal(err)
	}
	mnist, err := ddpm.FindPreset("mnist")
	if err != nil {
		t.Fatal(err)
	}
	want := mnist.Spec
	want.Batch, want.Seed = 64, 0
	if d := p.Spec.Differences(want); len(d) > 0 || p.Run != "mnist" || p.Steps != 7 || p.CheckpointEvery != mnist.CheckpointEvery {
		t.Errorf("%v, %+v", d, p)
	}
	for _, v := range []struct {
		args []string
		want []string
	}{
		{[]string{"--batch", "64", "--shard-size", "7"}, []string{"shard-size 7", "batch 64", "4 8"}},
		{[]string{"--preset", "cifar"}, []string{"--preset", `"cifar"`, "cifar10"}},
		{[]string{"--lr", "NaN"}, []string{"lr"}},
		{[]string{"--lr", "-1"}, []string{"lr -1"}},
	} {
		_, err := mustParse(t, "", append([]string{"--workers", "2"}, v.args...)...).Resolve()
		for _, w := range v.want {
			if err == nil || !strings.Contains(err.Error(), w) {
				t.Errorf("%v: the error is %v, want %q", v.args, err, w)
			}
		}
	}
}

// A run that exists keeps its config; only what is given and differs is refused.
func TestContinue(t *testing.T) {
	old, err := mustParse(t, "", "--workers", "2", "--preset", "tiny", "--seed", "5", "--lr", "0.002").Resolve()
	if err != nil {
		t.Fatal(err)
	}
	existing := old.Spec
	existing.DatasetDigest, existing.DatasetLen = "sha256:aa", 60000
	for _, v := range []struct {
		args []string
		want []string // of the error; none: the run goes on
	}{
		{[]string{"--run", "tiny"}, nil},
		{[]string{"--run", "a", "--preset", "tiny", "--seed", "5", "--lr", "0.002", "--steps", "900"}, nil},
		{[]string{"--run", "a", "--dataset", "elsewhere"}, nil}, // its content decides, later
		{[]string{"--run", "a", "--seed", "6"}, []string{"run a", "seed: 6, not 5", "--run"}},
		{[]string{"--run", "a", "--seed", "6", "--batch", "32"}, []string{"seed: 6, not 5", "batch: 32, not 16"}},
		{[]string{"--run", "a", "--preset", "mnist"}, []string{"model.size: 28, not 8"}},
		{[]string{"--run", "a", "--preset", "none"}, []string{`"none"`}},
	} {
		p, err := mustParse(t, "", append([]string{"--workers", "2"}, v.args...)...).Continue(existing)
		if len(v.want) == 0 {
			if err != nil || len(p.Spec.Differences(existing)) > 0 || p.Spec.Dataset != existing.Dataset {
				t.Errorf("%v: %v, %+v", v.args, err, p)
			}
			continue
		}
		for _, w := range v.want {
			if err == nil || !strings.Contains(err.Error(), w) {
				t.Errorf("%v: the error is %v, want %q", v.args, err, w)
			}
		}
	}
}

// What a dry run prints as settings is a file that resolves to the same.
func TestPrintedSettingsAreAFile(t *testing.T) {
	args := []string{"--workers", "3", "--min-workers", "2", "--preset", "tiny", "--batch", "24", "--shard-size", "3", "--seed", "18446744073709551615",
		"--lr", "0.00025", "--steps", "90", "--checkpoint-every", "0", "--keep-last", "3", "--keep-every", "50", "--run", "a-run", "--data-dir", "d: #x", "--etcd", "a:1,b:2", "--http", "127.0.0.1:0"}
	c := mustParse(t, "", args...)
	p, err := c.Resolve()
	if err != nil {
		t.Fatal(err)
	}
	var first bytes.Buffer
	if err := c.Print(&first, p); err != nil {
		t.Fatal(err)
	}
	settings, _, ok := strings.Cut(first.String(), "\n# What the weights")
	if !ok {
		t.Fatalf("no second part:\n%s", first.String())
	}
	again := mustParse(t, settings)
	p2, err := again.Resolve()
	if err != nil {
		t.Fatal(err)
	}
	var second bytes.Buffer
	if err := again.Print(&second, p2); err != nil {
		t.Fatal(err)
	}
	if first.String() != second.String() {
		t.Errorf("printed first:\n%s\nfrom that file:\n%s", first.String(), second.String())
	}
}

// Whatever the file holds, reading it gives settings or an error that names it.
func FuzzLoad(f *testing.F) {
	for _, text := range []string{"", "workers: 2\n", "sede: 1", "etcd: [a, b]", "a: &x 1\nseed: *x", "<<: {seed: 1}", "seed: ~", "- 1", "{", "---\nseed: 1\n---\nseed: 2"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		path := filepath.Join(t.TempDir(), "run.yaml")
		if err := os.WriteFile(path, text, 0o644); err != nil {
			t.Fatal(err)
		}
		c := new(Config)
		c.Flags(pflag.NewFlagSet("test", pflag.ContinueOnError))
		if err := c.Load(path); err != nil && !strings.Contains(err.Error(), "run.yaml") {
			t.Errorf("the error does not name the file: %v", err)
		}
	})
}

// Groups are equally large, and as many as there are shards are none.
func TestLocalGroups(t *testing.T) {
	args := []string{"--workers", "2", "--batch", "12", "--shard-size", "2", "--local-steps", "5"}
	for groups, want := range map[string]int{"1": 1, "2": 2, "3": 3, "6": 0} {
		p, err := mustParse(t, "", append(args, "--local-groups", groups)...).Resolve()
		if err != nil || p.Spec.Local.Groups != want {
			t.Errorf("%s groups: %d, want %d: %v", groups, p.Spec.Local.Groups, want, err)
		}
	}
	for groups, want := range map[string]string{
		"4":  "local-groups 4: each group has equally many of a step's 6 shards; divisors near it: [3 6]",
		"12": "local-groups 12: each group has equally many of a step's 6 shards; divisors near it: [6 6]",
	} {
		if _, err := mustParse(t, "", append(args, "--local-groups", groups)...).Resolve(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s groups: %v, want %q", groups, err, want)
		}
	}
	alone, err := mustParse(t, "", args...).Resolve()
	each, err2 := mustParse(t, "", append(args, "--local-groups", "6")...).Resolve()
	if err != nil || err2 != nil || len(each.Spec.Differences(alone.Spec)) > 0 {
		t.Errorf("a group for each shard is another run than none: %v, %v, %v", each.Spec.Differences(alone.Spec), err, err2)
	}
}
