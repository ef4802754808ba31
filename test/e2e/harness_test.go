package e2e

import (
	"bufio"
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

// root is the module's folder, seen from this one.
var root = filepath.Join("..", "..")

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
	// What tests look for in logs is text.
	if err := os.Setenv("DDPM_LOG_FORMAT", "text"); err != nil {
		return 0, err
	}
	if err := build(dir, "./cmd/..."); err != nil {
		return 0, err
	}
	return m.Run(), nil
}

// build builds the commands of a pattern into a folder.
func build(dir, pattern string, flags ...string) error {
	args := append([]string{"build", "-o", dir + string(filepath.Separator)}, flags...)
	cmd := exec.Command("go", append(args, pattern)...)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, out)
	}
	return nil
}

// limit bounds any one command; it is generous, since the machine may be slow.
const limit = 10 * time.Minute

// result is how a command ended.
type result struct {
	stdout, stderr string
	code           int
}

// prepare makes a command that ends within the limit.
func prepare(t *testing.T, env []string, name string, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	t.Cleanup(cancel)
	if !filepath.IsAbs(name) {
		name = filepath.Join(bin, name)
	}
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// run runs one of the commands, or any program by its path.
func run(t *testing.T, env []string, name string, args ...string) result {
	t.Helper()
	cmd := prepare(t, env, name, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	code := exitCode(t, cmd, cmd.Run())
	return result{stdout.String(), stderr.String(), code}
}

// follow runs the coordinator and calls each with every line of its standard
// error, when it comes; the coordinator's process goes on meanwhile.
func follow(t *testing.T, each func(pid int, line string), args ...string) result {
	t.Helper()
	return followEnv(t, nil, each, args...)
}

func followEnv(t *testing.T, env []string, each func(pid int, line string), args ...string) result {
	t.Helper()
	cmd := prepare(t, env, "ddpm-coordinator", args...)
	var stdout bytes.Buffer
	cmd.Stdout = &stdout
	pipe, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var stderr strings.Builder
	for lines := bufio.NewScanner(pipe); lines.Scan(); {
		stderr.WriteString(lines.Text() + "\n")
		each(cmd.Process.Pid, lines.Text())
	}
	code := exitCode(t, cmd, cmd.Wait())
	return result{stdout.String(), stderr.String(), code}
}

// once calls do with the process and the first line that has all of the words.
func once(do func(pid int, line string), words ...string) func(pid int, line string) {
	done := false
	return func(pid int, line string) {
		for _, w := range words {
			if !strings.Contains(line, w) {
				return
			}
		}
		if !done {
			done = true
			do(pid, line)
		}
	}
}

// exitCode is that of a command that ended with err.
func exitCode(t *testing.T, cmd *exec.Cmd, err error) int {
	t.Helper()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s: %v", cmd, err)
	}
	return cmd.ProcessState.ExitCode()
}

// closing is the last line of a finished run.
var closing = regexp.MustCompile(`^run (\S+): step (\d+) loss (\S+) digest (sha256:[0-9a-f]{64})$`)

// complaint is the line that a failed command ends with.
func (r result) complaint() string {
	lines := strings.Split(strings.TrimSuffix(r.stderr, "\n"), "\n")
	return lines[len(lines)-1]
}

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
