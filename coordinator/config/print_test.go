package config

import (
	"bytes"
	"reflect"
	"testing"
)

// The whole output of a dry run, its comments included, is a file that leads to
// the same run.
func TestPrintLoadsAgain(t *testing.T) {
	for _, args := range [][]string{
		{"--workers", "2", "--local"},
		{"--workers", "2", "--local", "--timesteps", "uniform"},
		{"--workers", "5", "--min-workers", "3", "--preset", "cifar10", "--dataset", "/data: #odd", "--storage", "s3://bucket/p?endpoint=h:1",
			"--data-dir", "some where", "--run", "1e5", "--steps", "123", "--batch", "64", "--shard-size", "8", "--seed", "0",
			"--lr", "3e-05", "--gather-dtype", "bf16", "--fraction-bits", "32", "--timesteps", "stratified", "--listen", "0.0.0.0:0", "--http", ":0", "--etcd", "a:1,b:2", "--threads", "3", "--hand-over",
			"--join-token-file", "a/token", "--local-steps", "20", "--local-groups", "2", "--outer-momentum", "0.8"},
	} {
		c := mustParse(t, "", args...)
		p, err := c.Resolve()
		if err != nil {
			t.Fatal(err)
		}
		var first, second bytes.Buffer
		if err := c.Print(&first, p); err != nil {
			t.Fatal(err)
		}
		c2 := mustParse(t, first.String())
		p2, err := c2.Resolve()
		if err != nil {
			t.Fatal(err)
		}
		if err := c2.Print(&second, p2); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(p, p2) || first.String() != second.String() {
			t.Errorf("%v: it leads to another run:\n%s\n%s", args, &first, &second)
		}
		if c.Storage != c2.Storage || c.Threads != c2.Threads || c.Listen != c2.Listen || !reflect.DeepEqual(c.HTTP, c2.HTTP) || !reflect.DeepEqual(c.Etcd, c2.Etcd) {
			t.Errorf("%v: settings\n%+v became\n%+v", args, c, c2)
		}
	}
}

func TestCommandLineOnly(t *testing.T) {
	for _, file := range []string{"dry-run: true\n", "help: true\n", "version: true\n", "config: x\n"} {
		if _, err := parse(t, file, "--workers", "1"); err == nil {
			t.Errorf("%q is taken", file)
		}
	}
}
