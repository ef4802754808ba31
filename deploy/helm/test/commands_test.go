package chart

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// commands builds the product's commands into a folder, for one test.
func commands(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	build := exec.Command("go", "build", "-o", dir+string(filepath.Separator), "./cmd/...")
	build.Dir = filepath.Join("..", "..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return dir
}

// run runs a command outside a pod and returns what it says.
func run(t *testing.T, name string, args []string) string {
	t.Helper()
	c := exec.Command(name, args...)
	c.Env = append(os.Environ(), "KUBERNETES_SERVICE_HOST=")
	out, _ := c.CombinedOutput() // its exit code is its caller's to judge by what it says
	return string(out)
}
