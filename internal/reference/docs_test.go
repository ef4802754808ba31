package reference

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// programs are the commands that docs/cli.md tells of.
var programs = regexp.MustCompile(`(?:^|[\s/])(ddpm-coordinator|ddpm-worker|ddpmctl)((?: .*)?)$`)

// manual is what docs/cli.md says there is: for each command its flags.
func manual(t *testing.T, root string) map[string]map[string]bool {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "docs", "cli.md"))
	if err != nil {
		t.Fatal(err)
	}
	commands := map[string]map[string]bool{}
	var flags map[string]bool
	flag := regexp.MustCompile("`(--?[a-z][a-z0-9-]*)`")
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if heads, name, ok := strings.Cut(line, " "); ok && strings.Trim(heads, "#") == "" && strings.HasPrefix(name, "ddpm") {
			flags = map[string]bool{"--help": true, "--version": true}
			commands[name] = flags
		}
		if cells := strings.Split(line, "|"); strings.HasPrefix(line, "| `-") {
			for _, m := range flag.FindAllStringSubmatch(cells[1], -1) {
				flags[m[1]] = true
			}
		}
	}
	return commands
}

// commandsIn are the command lines in the blocks of a page: lines that go on after a
// backslash are one, comments and pipes are cut off.
func commandsIn(page string) (lines []string) {
	inside, rest := false, ""
	for line := range strings.Lines(page) {
		line = strings.TrimRight(line, "\n")
		if strings.HasPrefix(line, "```") {
			inside = !inside && (line == "```sh" || line == "```console" || line == "```")
			continue
		}
		if !inside && !strings.HasPrefix(line, "    ") {
			continue
		}
		rest += strings.TrimSpace(line)
		if before, ok := strings.CutSuffix(rest, `\`); ok {
			rest = before
			continue
		}
		rest, _, _ = strings.Cut(rest, " #")
		for _, part := range regexp.MustCompile(`&&|\||;|\$\(|<\(`).Split(rest, -1) {
			lines = append(lines, strings.TrimRight(strings.TrimSpace(part), ")"))
		}
		rest = ""
	}
	return lines
}

// wrong says what a command line has that there is not.
func wrong(commands map[string]map[string]bool, line string) string {
	m := programs.FindStringSubmatch(line)
	if m == nil {
		return ""
	}
	name := m[1]
	words := strings.Fields(m[2])
	for len(words) > 0 && commands[name+" "+words[0]] != nil {
		name, words = name+" "+words[0], words[1:]
	}
	if name == "ddpmctl" && len(words) > 0 && !strings.ContainsAny(words[0][:1], "-[") && words[0] != "completion" {
		return fmt.Sprintf("there is no command ddpmctl %s", words[0])
	}
	for _, w := range words {
		w, _, _ = strings.Cut(w, "=")
		if strings.HasPrefix(w, "-") && w != "-" && !commands[name][strings.Trim(w, "[],.")] {
			return fmt.Sprintf("%s has no flag %s", name, w)
		}
	}
	return ""
}

// Each command line of the docs is of commands and flags that docs/cli.md tells of,
// which is made of the commands.
func TestCommandsOfTheDocs(t *testing.T) {
	root := filepath.Join("..", "..")
	commands := manual(t, root)
	if len(commands) < 30 {
		t.Fatalf("docs/cli.md tells of %d commands", len(commands))
	}
	pages, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, page := range append(pages, filepath.Join(root, "README.md")) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range commandsIn(string(text)) {
			if programs.MatchString(line) {
				seen++
			}
			if what := wrong(commands, line); what != "" {
				t.Errorf("%s: %q: %s", page, line, what)
			}
		}
	}
	if seen < 40 {
		t.Errorf("only %d command lines are found in the docs", seen)
	}
}

func TestWrongCommandsAreFound(t *testing.T) {
	commands := map[string]map[string]bool{"ddpmctl": {}, "ddpmctl data": {}, "ddpmctl data list": {"--json": true}, "ddpm-worker": {"--join": true}}
	for line, ok := range map[string]bool{
		"ddpmctl data list --json": true, "ddpmctl data list --jsn": false, "ddpmctl dta": false,
		"bin/ddpm-worker --join h:1": true, "bin/ddpm-worker --joint h:1": false, "kill -9 1": true,
	} {
		if got := wrong(commands, line); (got == "") != ok {
			t.Errorf("%q: %q", line, got)
		}
	}
	if got := commandsIn("a\n```sh\nx && ddpmctl a \\\n  --b # c\n```\nddpmctl\n"); len(got) != 2 || got[1] != "ddpmctl a --b" {
		t.Errorf("%q", got)
	}
}
