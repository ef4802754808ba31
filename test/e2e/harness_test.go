package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// bin is the folder that TestMain builds the commands into.
var bin string

func TestMain(m *testing.M) {
	code, err := buildAndRun(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		os.Exit(1)
	}
	os.Exit(code)
}

func buildAndRun(m *testing.M) (int, error) {
	dir, err := os.MkdirTemp("", "ddpm-e2e-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	bin = dir
	build := exec.Command("go", "build", "-o", dir+string(filepath.Separator), "./cmd/...")
	build.Dir = filepath.Join("..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("go build: %w\n%s", err, out)
	}
	return m.Run(), nil
}

// limit bounds any one command; it is generous, since the machine may be slow.
const limit = 3 * time.Minute

// result is how a command ended.
type result struct {
	stdout, stderr string
	code           int
}

// start prepares a command whose output is kept.
func start(t *testing.T, env []string, name string, args ...string) (*exec.Cmd, *bytes.Buffer, *bytes.Buffer) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, filepath.Join(bin, name), args...)
	cmd.Env = append(os.Environ(), env...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.WaitDelay = 5 * time.Second
	return cmd, &stdout, &stderr
}

func run(t *testing.T, env []string, name string, args ...string) result {
	t.Helper()
	cmd, stdout, stderr := start(t, env, name, args...)
	return finish(t, cmd, cmd.Run(), stdout, stderr)
}

func finish(t *testing.T, cmd *exec.Cmd, err error, stdout, stderr *bytes.Buffer) result {
	t.Helper()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s: %v", cmd, err)
	}
	return result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// closing is the last line of a finished run.
var closing = regexp.MustCompile(`^run (\S+): step (\d+) loss (\S+) digest (sha256:[0-9a-f]{64})$`)

// lastLine returns the fields of a finished run's last line: step and digest.
func (r result) lastLine(t *testing.T) (step, digest string) {
	t.Helper()
	lines := strings.Split(strings.TrimSuffix(r.stdout, "\n"), "\n")
	m := closing.FindStringSubmatch(lines[len(lines)-1])
	if r.code != 0 || m == nil {
		t.Fatalf("exit code %d, standard output %q, standard error:\n%s", r.code, r.stdout, r.stderr)
	}
	return m[2], m[4]
}

// train runs the coordinator with local workers on the tiny preset.
func train(t *testing.T, dir string, args ...string) result {
	t.Helper()
	return trainEnv(t, nil, dir, args...)
}

func trainEnv(t *testing.T, env []string, dir string, args ...string) result {
	t.Helper()
	all := append([]string{"--local", "--preset", "tiny", "--data-dir", dir}, args...)
	return run(t, env, "ddpm-coordinator", all...)
}
