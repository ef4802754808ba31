package pool

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/evaluate"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/sampler/job"
)

// openAPI is what of docs/openapi.yaml the code says too.
type openAPI struct {
	Paths      map[string]map[string]any `yaml:"paths"`
	Components struct {
		Schemas map[string]struct {
			Required   []string                  `yaml:"required"`
			Properties map[string]map[string]any `yaml:"properties"`
		} `yaml:"schemas"`
	} `yaml:"components"`
}

func readOpenAPI(t *testing.T) (d openAPI) {
	t.Helper()
	text, err := os.ReadFile("../../docs/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// The schemas have the keys that are read and written.
func TestOpenAPIHasTheKeys(t *testing.T) {
	t.Parallel()
	d := readOpenAPI(t)
	for name, v := range map[string]any{"Request": job.Request{}, "Evaluation": evaluate.Request{}, "Job": View{}} {
		var want, have []string
		for f := range reflect.TypeOf(v).Fields() {
			key, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			want = append(want, key)
		}
		schema := d.Components.Schemas[name]
		for key := range schema.Properties {
			have = append(have, key)
		}
		slices.Sort(want)
		slices.Sort(have)
		if !slices.Equal(have, want) {
			t.Errorf("%s has %q in docs/openapi.yaml, and %q in the code", name, have, want)
		}
	}
}

// What is required is enough, and a request without one of it is refused.
func TestOpenAPIRequiresWhatIsNeeded(t *testing.T) {
	t.Parallel()
	p, err := ddpm.FindPreset("tiny")
	if err != nil {
		t.Fatal(err)
	}
	s := newLeader(t, newKeys())
	s.addRun(t, "r", p.Spec)
	mux := http.NewServeMux()
	s.Handle(mux)
	post := func(path string, body map[string]any) int {
		text, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest(http.MethodPost, path, bytes.NewReader(text))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		return w.Code
	}
	values := map[string]any{"run": "r", "dataset": "glyphs://", "n": 2, "bins": 1, "seed": 1}
	for name, path := range map[string]string{"Request": "/api/samples", "Evaluation": "/api/evaluations"} {
		required, all := readOpenAPI(t).Components.Schemas[name].Required, map[string]any{}
		for _, key := range required {
			all[key] = values[key]
		}
		if code := post(path, all); code != http.StatusCreated {
			t.Errorf("%s of %q: %d", name, required, code)
		}
		for _, key := range required {
			less := maps.Clone(all)
			delete(less, key)
			if code := post(path, less); code == http.StatusCreated {
				t.Errorf("%s: %s is required, and taken without it", name, key)
			}
		}
	}
}

// The paths and methods are those that are served.
func TestOpenAPIHasThePaths(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("http.go") // a mux does not tell what it has
	if err != nil {
		t.Fatal(err)
	}
	var want, have []string
	for _, m := range regexp.MustCompile(`handle\("([A-Z]+ [^"]+)"`).FindAllStringSubmatch(string(source), -1) {
		want = append(want, strings.ReplaceAll(m[1], "...", ""))
	}
	for path, item := range readOpenAPI(t).Paths {
		for method := range item {
			if method != "parameters" {
				have = append(have, strings.ToUpper(method)+" "+path)
			}
		}
	}
	slices.Sort(want)
	slices.Sort(have)
	if len(want) == 0 || !slices.Equal(have, want) {
		t.Errorf("docs/openapi.yaml has\n%s\nserved are\n%s", strings.Join(have, "\n"), strings.Join(want, "\n"))
	}
}
