package browser

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
)

// pictures and the page itself are files, not facts.
var files = regexp.MustCompile(`^/$|\.(js|css|png)$`)

// sameByCommand checks that what the page has asked the coordinator for can be had by
// ddpmctl --json too: each path has its command, and each field of the one's answer is
// in the other's.
func (b *browser) sameByCommand(r *running) {
	b.t.Helper()
	u, err := url.Parse(r.url)
	if err != nil {
		b.t.Fatal(err)
	}
	commands := map[string]struct {
		path string // where a stream has no document of its own
		args []string
	}{
		"/api/events":      {"api/status?points=1000", []string{"status", "--json", "--http", u.Host}},
		"/api/checkpoints": {"api/checkpoints", []string{"checkpoints", "list", "--json", "--storage", r.data}},
		"/api/samples":     {"api/samples", []string{"jobs", "list", "--json", "--join", r.join, "--insecure"}},
		"/api/examples":    {"api/examples?step=3", []string{"data", "step", "--json", "--step", "3", "--storage", r.data}},
	}
	b.mu.Lock()
	asked := slices.Sorted(maps.Keys(b.asked))
	b.mu.Unlock()
	seen := 0
	for _, path := range asked {
		c, ok := commands[path]
		if !ok {
			if !files.MatchString(path) && !jobPath.MatchString(path) {
				b.t.Errorf("the page asks for %s, which no command of this test gives", path)
			}
			continue
		}
		seen++
		out, err := exec.CommandContext(b.t.Context(), filepath.Join(r.bin, "ddpmctl"), c.args...).Output()
		if err != nil {
			b.t.Errorf("ddpmctl %q: %v", c.args, err)
			continue
		}
		page, command := fields(b.t, get(b.t, r.url+c.path)), fields(b.t, out)
		for field := range page {
			if !command[field] {
				b.t.Errorf("%s has the field %s, and ddpmctl %q does not", path, field, c.args)
			}
		}
		b.t.Logf("%s: %d fields, all of them by ddpmctl %q", path, len(page), c.args[:2])
	}
	if seen != len(commands) {
		b.t.Errorf("of %d kinds of answers the page has asked for %d: %v", len(commands), seen, asked)
	}
}

// jobPath is one job, to cancel it.
var jobPath = regexp.MustCompile(`^/api/samples/[^/]+$`)

func get(t *testing.T, url string) []byte {
	t.Helper()
	answer, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// fields are the paths of all values in JSON; elements of lists are one.
func fields(t *testing.T, text []byte) map[string]bool {
	t.Helper()
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatalf("%v: %.200s", err, text)
	}
	all := map[string]bool{}
	var walk func(at string, v any)
	walk = func(at string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for name, inner := range v {
				walk(at+"."+name, inner)
			}
		case []any:
			for _, inner := range v {
				walk(at+"[]", inner)
			}
		default:
			all[at] = true
		}
	}
	walk("", v)
	return all
}
