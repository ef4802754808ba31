package reference

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
)

// Man writes a page for a command and for each below it into a folder, which it
// makes: COMMAND.1 and COMMAND-SUBCOMMAND.1, in the macros of man(7). What they say
// depends on the commands and the version alone.
func Man(dir string, root *cobra.Command, version string) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	for _, p := range pages(root) {
		if err := os.WriteFile(filepath.Join(dir, manName(p.path)+".1"), []byte(p.man(version)), 0o666); err != nil {
			return err
		}
	}
	return nil
}

func manName(path string) string { return strings.ReplaceAll(path, " ", "-") }

func (p page) man(version string) string {
	var b strings.Builder
	fmt.Fprintf(&b, ".TH %s 1 \"\" \"ddpm-cluster %s\" \"User Commands\"\n", strings.ToUpper(roff(manName(p.path))), roff(version))
	section := func(name, body string) { fmt.Fprintf(&b, ".SH %s\n%s\n", name, body) }
	section("NAME", roff(manName(p.path)+" - "+strings.ToLower(p.short[:1])+p.short[1:]))
	section("SYNOPSIS", ".nf\n"+roff(p.synopsis)+"\n.fi")
	if p.long != "" {
		section("DESCRIPTION", roff(p.long))
	}
	if len(p.flags) > 0 {
		section("OPTIONS", p.options())
	}
	if p.example != "" {
		section("EXAMPLES", ".nf\n"+roff(p.example)+"\n.fi")
	}
	var also []string
	if parent := p.path[:max(0, strings.LastIndexByte(p.path, ' '))]; parent != "" {
		also = append(also, ".BR "+roff(manName(parent))+" (1)")
	}
	for _, path := range p.below {
		also = append(also, ".BR "+roff(manName(path))+" (1)")
	}
	if len(also) > 0 {
		section("SEE ALSO", strings.Join(also, " ,\n"))
	}
	return b.String()
}

func (p page) options() string {
	var b strings.Builder
	for _, f := range p.flags {
		meaning := f.Meaning
		if f.Default != "" {
			meaning += " (default: " + f.Default + ")"
		}
		fmt.Fprintf(&b, ".TP\n.B %s\n%s\n", roff(f.Title()), roff(meaning))
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// roff is text in which nothing is a request or an escape: a hyphen stays one that
// can be copied into a shell, and no line begins with a control character.
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(text)
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, ".") || strings.HasPrefix(l, "'") {
			lines[i] = `\&` + l
		}
	}
	return strings.Join(lines, "\n")
}
