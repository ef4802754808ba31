package lint

import (
	"fmt"
	"strings"
	"testing"
)

// layer is a top-level folder, "." for the root alone, and the folders that it may
// import beside itself.
type layer struct {
	dir     string
	imports []string
}

// layers are all folders with Go code. A layer's list holds the lists of those in
// it, so that what is not in it cannot be reached through another layer either.
var layers = []layer{
	{".", nil},
	{"ddpm", []string{"internal"}},
	{"allreduce", []string{"internal", "proto"}},
	{"storage", []string{"internal", "proto"}},
	{"proto", nil},
	{"internal", nil},
	{"coordinator", []string{".", "allreduce", "ddpm", "storage", "proto", "internal"}},
	{"worker", []string{".", "allreduce", "ddpm", "storage", "proto", "internal"}},
	{"cmd", []string{".", "coordinator", "worker", "allreduce", "ddpm", "storage", "proto", "internal"}},
	{"test", []string{".", "coordinator", "worker", "allreduce", "ddpm", "storage", "proto", "internal"}},
}

func layersRule() rule { return rule{name: "layers", find: findLayers} }

func findLayers(t *tree) []finding {
	var found []finding
	for _, p := range t.packages {
		if p.name() == "" {
			continue
		}
		l := layerOf(p.dir)
		if l == nil {
			found = append(found, finding{p.product()[0].path + ":1", "its folder has no layer",
				"add it to the layers in internal/lint, or move the package"})
			continue
		}
		for _, f := range p.product() {
			for _, s := range f.ast.Imports {
				if to, ours := inModule(imported(s)); ours && !l.mayImport(to) {
					found = append(found, finding{t.place(s), fmt.Sprintf("%s imports %s", p.dir, to),
						fmt.Sprintf("imports point one way: pass it in from above, or move what both need below %s", l.dir)})
				}
			}
		}
	}
	return found
}

// layerOf gives the layer of a package's folder.
func layerOf(dir string) *layer {
	top, _, _ := strings.Cut(dir, "/")
	for i := range layers {
		if layers[i].dir == top {
			return &layers[i]
		}
	}
	return nil
}

func (l *layer) mayImport(dir string) bool {
	if l.dir != "." && within(dir, l.dir) {
		return true
	}
	return withinAny(dir, l.imports)
}

func TestLayersHoldWhatTheyReach(t *testing.T) {
	for _, l := range layers {
		for _, dir := range l.imports {
			below := layerOf(dir)
			if below == nil {
				t.Fatalf("%s may import %s, which is no layer", l.dir, dir)
			}
			for _, reached := range below.imports {
				if !l.mayImport(reached) {
					t.Errorf("%s may import %s, which may import %s, which %s may not", l.dir, dir, reached, l.dir)
				}
			}
		}
	}
}

// ban keeps the packages of some folders away from others' packages.
type ban struct {
	dirs, imports []string
	why           string
}

// bans hold for the product, not for tests.
var bans = []ban{
	{
		[]string{"ddpm"},
		[]string{"net", "google.golang.org/grpc", "go.etcd.io", "github.com/minio"},
		"the model knows no network",
	},
	{
		[]string{"ddpm"},
		[]string{"time", "math/rand", "crypto/rand"},
		"weights are a function of the config, the seed and the step: no clock, no drawn randomness; use ddpm/rng",
	},
	{
		[]string{"ddpm", "allreduce", "worker", "internal"},
		[]string{"math/cmplx", "github.com/chewxy/math32", "gonum.org"},
		"its results differ between architectures; use ddpm/rng",
	},
	{
		[]string{"allreduce"},
		[]string{"gorgonia.org", "go.etcd.io", "github.com/minio"},
		"an all-reduce knows vectors and its ring alone",
	},
	{
		[]string{"storage"},
		[]string{"gorgonia.org", "go.etcd.io", "google.golang.org/grpc"},
		"a Store knows objects alone",
	},
	{
		[]string{"coordinator/core"},
		[]string{"net", "os", "io", "sync", "context", "math/rand", "crypto/rand", "google.golang.org/grpc", "go.etcd.io", "github.com/minio"},
		"the core decides and the shell acts: hand it in with an event, or out with an effect",
	},
	{
		[]string{"."},
		[]string{"log"},
		"log/slog is the logger",
	},
}

// harmless are packages below banned ones that do none of what the ban is about.
var harmless = []string{"net/url", "net/netip", "log/slog"}

func importsRule() rule { return rule{name: "imports", find: findImports} }

func findImports(t *tree) []finding {
	var found []finding
	for _, p := range t.packages {
		for _, f := range p.product() {
			for _, s := range f.ast.Imports {
				name := imported(s)
				for _, b := range bans {
					everywhere := b.dirs[0] == "."
					if (everywhere || withinAny(p.dir, b.dirs)) && withinAny(name, b.imports) && !withinAny(name, harmless) {
						found = append(found, finding{t.place(s), fmt.Sprintf("%s imports %s", p.dir, name), b.why})
					}
				}
			}
		}
	}
	return found
}
