package lint

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// rule is a house rule.
type rule struct {
	name string
	// find returns where the tree breaks the rule.
	find func(*tree) []finding
	// exceptions are the files that may break it, each with the reason why.
	exceptions map[string]string
}

// finding is a broken rule: file:line, what is wrong there, and how to mend it.
type finding struct {
	place, what, mend string
}

func (f finding) String() string { return fmt.Sprintf("%s: %s; %s", f.place, f.what, f.mend) }

// file is the part of the place before the line.
func (f finding) file() string {
	file, _, _ := strings.Cut(f.place, ":")
	return file
}

// apply gives what breaks the rule and is no exception, and exceptions without use.
func (r rule) apply(t *tree) []finding {
	var found []finding
	used := make(map[string]bool)
	for _, f := range r.find(t) {
		if r.exceptions[f.file()] != "" {
			used[f.file()] = true
			continue
		}
		found = append(found, f)
	}
	for file := range r.exceptions {
		if !used[file] {
			found = append(found, finding{file, "an exception that nothing needs", "remove it from the rule in internal/lint"})
		}
	}
	return found
}

// rules are all of them, as doc.go lists them.
func rules() []rule {
	return []rule{
		docRule(), lengthRule(), layersRule(), importsRule(), arithmeticRule(), orderRule(),
		pureRule(), stateRule(), panicRule(), voiceRule(), textRule(),
	}
}

func TestHouseRules(t *testing.T) {
	module, err := load(os.DirFS("../.."))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rules() {
		t.Run(r.name, func(t *testing.T) {
			for _, f := range r.apply(module) {
				t.Errorf("%s: %s", r.name, f)
			}
		})
	}
}
