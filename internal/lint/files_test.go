package lint

import (
	"bytes"
	"fmt"
	"path"
	"regexp"
	"strings"
)

func docRule() rule { return rule{name: "doc", find: findUndocumented} }

func findUndocumented(t *tree) []finding {
	var found []finding
	for _, p := range t.packages {
		where := ""
		for _, f := range p.product() {
			if f.ast.Doc != nil && !f.generated {
				where = path.Base(f.path)
				if where == "doc.go" {
					break
				}
			}
		}
		if p.name() == "" || where == "doc.go" || where == "main.go" && p.name() == "main" {
			continue
		}
		what := "package " + p.name() + " has no comment"
		if where != "" {
			what = "package " + p.name() + " has its comment in " + where
		}
		found = append(found, finding{path.Join(p.dir, "doc.go") + ":1", what, "write the package's comment in its doc.go"})
	}
	return found
}

// maxLines is what a file may have.
const maxLines = 400

func lengthRule() rule { return rule{name: "length", find: findLong} }

func findLong(t *tree) []finding {
	var found []finding
	for _, p := range t.packages {
		for _, f := range p.sources() {
			if f.lines > maxLines {
				found = append(found, finding{fmt.Sprintf("%s:%d", f.path, maxLines+1),
					fmt.Sprintf("the file has %d lines, at most %d are allowed", f.lines, maxLines),
					"give its second concept a file of its own"})
			}
		}
	}
	return found
}

func textRule() rule { return rule{name: "text", find: findText} }

// unwanted is what no text holds. The patterns are written so that they don't match
// themselves.
var unwanted = []struct {
	pattern    *regexp.Regexp
	what, mend string
}{
	{
		regexp.MustCompile(`(^|[\s"'=:(])/(ro[o]t|ho[m]e|Use[r]s)/\w`),
		"a path of somebody's machine",
		"write it relative to the module, or take it from an argument",
	},
	{
		regexp.MustCompile(`\b(TO[D]O|FIX[M]E)\b`),
		"work put off",
		"do it, or file an issue",
	},
}

func findText(t *tree) []finding {
	var found []finding
	for _, f := range t.text {
		if strings.HasSuffix(f.path, "go.sum") {
			continue
		}
		for n, line := range bytes.Split(f.content, []byte("\n")) {
			for _, u := range unwanted {
				if u.pattern.Match(line) {
					found = append(found, finding{fmt.Sprintf("%s:%d", f.path, n+1),
						fmt.Sprintf("%s (%q)", u.what, bytes.TrimSpace(u.pattern.Find(line))), u.mend})
				}
			}
		}
	}
	return found
}
