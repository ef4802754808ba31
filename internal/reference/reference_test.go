package reference

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func TestDescribe(t *testing.T) {
	fs := pflag.NewFlagSet("", pflag.ContinueOnError)
	fs.Int("a", 0, "wait for so many `workers` (needed)")
	fs.Int("b", 3, "a number")
	fs.String("c", "", "`HOST:PORT` of it (default: the f(x) of it)")
	fs.Bool("d", false, "say more")
	fs.StringSlice("e", nil, "names")
	fs.Duration("f", 5*60*1e9, "patience")
	for name, want := range map[string]Flag{
		"a": {Name: "a", Unit: "workers", Default: "needed", Meaning: "wait for so many workers"},
		"b": {Name: "b", Unit: "number", Default: "3", Meaning: "a number"},
		"c": {Name: "c", Unit: "HOST:PORT", Default: "the f(x) of it", Meaning: "HOST:PORT of it"},
		"d": {Name: "d", Default: "off", Meaning: "say more"},
		"e": {Name: "e", Unit: "text,…", Meaning: "names"},
		"f": {Name: "f", Unit: "duration", Default: "5m", Meaning: "patience"},
	} {
		if got := Describe(fs.Lookup(name)); got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
}

// tool is a small program with everything that a page may have.
func tool() *cobra.Command {
	root := &cobra.Command{Use: "tool", Short: "Do things", Run: func(*cobra.Command, []string) {}}
	root.PersistentFlags().Bool("json", false, "print | JSON")
	child := &cobra.Command{Use: "make NAME", Short: "Make one", Long: ".dot first\n'quote\\ <b>", Example: "  tool make x --n 1\n  tool make y", Run: func(*cobra.Command, []string) {}}
	child.Flags().IntP("n", "n", 2, "how many")
	root.AddCommand(child)
	Add(root, "v1", func(err error) error { return err })
	return root
}

func TestMarkdown(t *testing.T) {
	var out bytes.Buffer
	root := tool()
	root.SetOut(&out)
	root.SetArgs([]string{"markdown"})
	if err := root.Execute(); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"\n## tool\n\nDo things.\n", "Its commands: [make](#tool-make), [man](#tool-man).\n", "\n### tool make\n", "    tool make NAME [flags]\n",
		"```console\ntool make x --n 1\ntool make y\n```\n", "| `-n`, `--n` | number | 2 | how many |\n", "| `--json` |  | off | print \\| JSON |\n", "&lt;b>",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in\n%s", want, &out)
		}
	}
	if strings.Contains(out.String(), "markdown") {
		t.Error("a hidden command is told of")
	}
}

func TestMan(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "man1")
	root := tool()
	root.SetArgs([]string{"man", dir})
	if err := root.Execute(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "tool-make.1"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		".TH TOOL\\-MAKE 1 \"\" \"ddpm-cluster v1\"", ".SH NAME\ntool\\-make \\- make one\n", "\\&.dot first\n\\&'quote\\e <b>",
		".TP\n.B \\-n, \\-\\-n number\nhow many (default: 2)\n", ".BR tool (1)",
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "tool.1")); err != nil {
		t.Error(err)
	}
}

func TestManNeedsItsFolder(t *testing.T) {
	root := tool()
	root.SetArgs([]string{"man"})
	root.SilenceErrors, root.SilenceUsage = true, true
	if err := root.Execute(); err == nil || !strings.Contains(err.Error(), "tool man --help") {
		t.Errorf("%v", err)
	}
}
