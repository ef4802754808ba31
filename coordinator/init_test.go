package coordinator

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
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
