package coordinator

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ddpm-cluster/ddpm-cluster/coordinator/config"
	"github.com/ddpm-cluster/ddpm-cluster/coordinator/initial"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm"
)

// A network that is taken over has no classes, and a run that asks for them is refused
// rather than trained without.
func TestInitRefusesClasses(t *testing.T) {
	t.Parallel()
	folder := filepath.Join("initial", "testdata", "nested")
	run := func(args ...string) (string, error) {
		var out strings.Builder
		args = append([]string{"--workers", "1", "--data-dir", t.TempDir(), "--preset", "tiny", "--init", folder, "--dry-run"}, args...)
		err := Run(t.Context(), Options{Config: settings(t, args...), Stdout: &out})
		return out.String(), err
	}
	if text, err := run(); err != nil {
		t.Errorf("without classes: %v\n%s", err, text)
	}
	for _, dropout := range []string{"0", "0.1"} {
		_, err := run("--classes", "10", "--label-dropout", dropout)
		if !errors.As(err, new(UsageError)) || !strings.Contains(err.Error(), "--classes: the network in the folder of --init has no classes") {
			t.Errorf("with 10 classes and a label dropout of %s: %v", dropout, err)
		}
	}
}

// A run of a version that did not note how its scheduler clips goes on with the folder
// that it began with.
func TestInitContinuesARunThatDoesNotSayHowToClip(t *testing.T) {
	t.Parallel()
	source, err := initial.Open(t.Context(), filepath.Join("initial", "testdata", "nested"), 0)
	if err != nil {
		t.Fatal(err)
	}
	var existing ddpm.Spec
	source.Apply(&existing)
	source.Diffusion.NoClip = true
	s := &start{source: source, plan: config.Plan{Run: "r"}}
	if err := s.continueInit(existing); err != nil {
		t.Error(err)
	}
	source.Diffusion.Steps++
	if err := s.continueInit(existing); !errors.As(err, new(UsageError)) || !strings.Contains(err.Error(), "diffusion.steps") {
		t.Errorf("another process: %v", err)
	}
}
