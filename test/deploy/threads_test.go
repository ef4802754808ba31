package deploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
)

// In a container with a CPU limit, a worker computes with as many threads as that
// allows, not as the machine has: Go reads the cgroup, of either version. It takes at
// least two, so this shows on machines with three CPUs and more.
func TestThreadsFollowTheCPULimit(t *testing.T) {
	if runtime.NumCPU() < 3 {
		t.Skip("a limit shows from three CPUs on")
	}
	group := limited(t, 2)
	program := filepath.Join(t.TempDir(), "main.go")
	const source = "package main\n\nimport \"runtime\"\n\nfunc main() { print(runtime.GOMAXPROCS(0)) }\n"
	if err := os.WriteFile(program, []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(t.TempDir(), "threads")
	if out, err := exec.Command("go", "build", "-o", binary, program).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	c := exec.Command("sh", "-c", `echo $$ >"$0/cgroup.procs" && exec "$1"`, group, binary)
	c.Env = append(os.Environ(), "GOMAXPROCS=")
	out, err := c.CombinedOutput()
	if err != nil {
		t.Skipf("no process can be moved into a cgroup here: %v, %s", err, out)
	}
	if got := strings.TrimSpace(string(out)); got != "2" {
		t.Errorf("%s threads under a limit of 2 CPUs", got)
	}
}

// limited makes a cgroup that may use so many CPUs, of whichever version there is.
func limited(t *testing.T, cpus int) (dir string) {
	t.Helper()
	const period = 100_000
	root, settings := "/sys/fs/cgroup", map[string]string{"cpu.max": strconv.Itoa(cpus*period) + " " + strconv.Itoa(period)}
	if _, err := os.Stat(filepath.Join(root, "cgroup.controllers")); err != nil {
		root, settings = filepath.Join(root, "cpu"), map[string]string{"cpu.cfs_period_us": strconv.Itoa(period), "cpu.cfs_quota_us": strconv.Itoa(cpus * period)}
	}
	dir = filepath.Join(root, "ddpm-test-"+strconv.Itoa(os.Getpid()))
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Skipf("no cgroup can be made here: %v", err)
	}
	t.Cleanup(func() { _ = os.Remove(dir) }) // it may be busy for a moment
	for name, value := range settings {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(value), 0o600); err != nil {
			t.Skipf("no CPU limit can be set here: %v", err)
		}
	}
	return dir
}
