package chart

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// flagsIn are the long flags in a command's help.
func flagsIn(help string) (flags []string) {
	for _, m := range regexp.MustCompile(`(?m)^\s+(?:-\w, )?--([a-z-]+)`).FindAllStringSubmatch(help, -1) {
		flags = append(flags, m[1])
	}
	return flags
}

// part is a JSON schema, as far as the chart's has it.
type part struct {
	Properties map[string]part `json:"properties"`
	Additional any             `json:"additionalProperties"`
}

func schemaOf(t *testing.T) (s part) {
	t.Helper()
	if err := json.Unmarshal([]byte(read(t, filepath.Join(chartDir, "values.schema.json"))), &s); err != nil {
		t.Fatal(err)
	}
	return s
}

func schemaKeys(t *testing.T, of string) (keys []string) {
	t.Helper()
	for k := range schemaOf(t).Properties[of].Properties {
		keys = append(keys, k)
	}
	return keys
}

// Every value is in the schema, and every property of the schema is a value, so that
// a misspelt one fails.
func TestSchemaHoldsTheValues(t *testing.T) {
	var values map[string]any
	if err := yaml.Unmarshal([]byte(read(t, filepath.Join(chartDir, "values.yaml"))), &values); err != nil {
		t.Fatal(err)
	}
	compare(t, "", schemaOf(t), values)
}

func compare(t *testing.T, at string, s part, values map[string]any) {
	t.Helper()
	if s.Additional != false {
		t.Errorf("%s: takes keys that nobody knows", at)
	}
	for k, v := range values {
		p, ok := s.Properties[k]
		if !ok {
			t.Errorf("%s%s is not in the schema", at, k)
		}
		if inner, ok := v.(map[string]any); ok && p.Properties != nil {
			compare(t, at+k+".", p, inner)
		}
	}
	for k := range s.Properties {
		if _, ok := values[k]; !ok && at+k != "global" && !strings.HasPrefix(at, "config.") && !slices.Contains([]string{"requests", "limits", "claims", "name", "kind", "group"}, k) {
			t.Errorf("%s%s is in the schema and no value", at, k)
		}
	}
}

var update = flag.Bool("update", false, "write the README's table anew")

const (
	begin = "<!-- made of values.yaml by `make chart-readme` -->\n"
	end   = "<!-- end -->\n"
)

// The README's table is what the comments in values.yaml say.
func TestREADME(t *testing.T) {
	name := filepath.Join(chartDir, "README.md")
	text := read(t, name)
	head, rest, ok := strings.Cut(text, begin)
	_, tail, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatal("the marks round the table are gone")
	}
	want := head + begin + table(read(t, filepath.Join(chartDir, "values.yaml"))) + end + tail
	if *update {
		if err := os.WriteFile(name, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if text != want {
		t.Error("the table of values is stale: make chart-readme")
	}
}

// table makes a row of every value, with the comment above it.
func table(values string) string {
	var out, comment strings.Builder
	fmt.Fprint(&out, "| value | default | what it is |\n|---|---|---|\n")
	var path []string
	key := regexp.MustCompile(`^( *)([A-Za-z-]+):(?: (.*))?$`)
	for _, line := range strings.Split(values, "\n") {
		trimmed := strings.TrimSpace(line)
		if text, ok := strings.CutPrefix(trimmed, "#"); ok {
			comment.WriteString(text)
			continue
		}
		m := key.FindStringSubmatch(line)
		if m == nil {
			comment.Reset()
			continue
		}
		path = append(path[:len(m[1])/2], m[2])
		said := strings.TrimSpace(comment.String())
		comment.Reset()
		if m[3] == "" && said == "" {
			continue
		}
		value := ""
		if m[3] != "" {
			value = "`" + m[3] + "`"
		}
		fmt.Fprintf(&out, "| `%s` | %s | %s |\n", strings.Join(path, "."), value, said)
	}
	return out.String()
}
