package report

import (
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// docs/formats.md tells of each field of metrics.jsonl, and of no other.
func TestFormatsHasTheFieldsOfALine(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/formats.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, ok := strings.Cut(string(text), "| field |")
	if !ok {
		t.Fatal("docs/formats.md has no table of fields")
	}
	table, _, _ = strings.Cut(table, "\n\n")
	var have, want []string
	for row := range strings.Lines(table) {
		first, _, _ := strings.Cut(strings.TrimPrefix(row, "|"), "|")
		for _, m := range regexp.MustCompile("`([a-z_]+)`").FindAllStringSubmatch(first, -1) {
			have = append(have, m[1])
		}
	}
	for f := range reflect.TypeFor[Line]().Fields() {
		key, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		want = append(want, key)
	}
	slices.Sort(have)
	slices.Sort(want)
	if !slices.Equal(have, want) {
		t.Errorf("docs/formats.md has %q, and a line %q", have, want)
	}
}
