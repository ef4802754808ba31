package browser

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync"
	"syscall"
	"testing"
	"time"
)

// limit bounds whatever a test waits for.
const limit = 5 * time.Minute

// running is a coordinator with its workers.
type running struct {
	t    *testing.T
	bin  string
	data string // its data dir, where its Store is too
	url  string
	// join is where workers join a run that is --insecure.
	join string
	cmd  *exec.Cmd
	end  chan struct{}
}

// build builds the product's commands.
func build(t *testing.T) (bin string) {
	t.Helper()
	bin = t.TempDir()
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", bin+string(filepath.Separator), "./cmd/...")
	cmd.Dir = filepath.Join("..", "..")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return bin
}

var address = regexp.MustCompile(`msg=dashboard at=(http://\S+)`)

var joined = regexp.MustCompile(`ddpm-worker --join (\S+) --insecure`)

// start starts a coordinator for two workers, and waits for its dashboard.
func start(t *testing.T, bin string, args ...string) *running {
	t.Helper()
	r := &running{t: t, bin: bin, data: t.TempDir(), end: make(chan struct{})}
	ctx, cancel := context.WithCancel(context.Background())
	r.cmd = exec.CommandContext(ctx, filepath.Join(bin, "ddpm-coordinator"), append([]string{
		"--workers", "2", "--threads", "1", "--http", "127.0.0.1:0", "--log-format", "text", "--data-dir", r.data,
	}, args...)...)
	r.cmd.Cancel = func() error { return r.cmd.Process.Signal(syscall.SIGTERM) }
	r.cmd.WaitDelay = 20 * time.Second
	pipe, err := r.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	found, join := make(chan string, 1), make(chan string, 1)
	var log sync.Mutex
	var text []byte
	go func() {
		defer close(r.end)
		for lines := bufio.NewScanner(pipe); lines.Scan(); {
			log.Lock()
			text = append(append(text, lines.Bytes()...), '\n')
			log.Unlock()
			if m := address.FindStringSubmatch(lines.Text()); m != nil {
				found <- m[1]
			}
			if m := joined.FindStringSubmatch(lines.Text()); m != nil {
				join <- m[1]
			}
		}
		_ = r.cmd.Wait() // it was told to end
	}()
	t.Cleanup(func() {
		cancel()
		<-r.end
		if t.Failed() {
			log.Lock()
			defer log.Unlock()
			t.Logf("the coordinator's log:\n%s", text)
		}
	})
	select {
	case r.url = <-found:
	case <-r.end:
		t.Fatal("the coordinator has ended")
	case <-time.After(limit):
		t.Fatal("there is no dashboard")
	}
	select {
	case r.join = <-join: // it comes before the dashboard
	default:
	}
	return r
}

// worker starts a worker of the run, until the test ends.
func (r *running) worker(args ...string) {
	r.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, filepath.Join(r.bin, "ddpm-worker"), append([]string{"--join", r.join, "--insecure", "--threads", "1"}, args...)...)
	var text bytes.Buffer
	cmd.Stderr = &text
	if err := cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		cancel()
		_ = cmd.Wait() // it was killed
		if r.t.Failed() {
			r.t.Logf("the log of worker %q:\n%s", args, text.String())
		}
	})
}

// status is what these tests read of /api/status.
type status struct {
	Phase      string    `json:"phase"`
	Step       uint64    `json:"step"`
	StepAt     time.Time `json:"step_at"`
	Checkpoint *struct {
		Step uint64 `json:"step"`
	} `json:"checkpoint"`
	Workers []struct {
		ID  string `json:"id"`
		PID int    `json:"pid"`
	} `json:"workers"`
}

func (r *running) status() (s status, err error) {
	answer, err := http.Get(r.url + "api/status")
	if err != nil {
		return s, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return s, err
	}
	return s, json.Unmarshal(text, &s)
}

// await waits until the status is as it should be.
func (r *running) await(what string, good func(status) bool) status {
	r.t.Helper()
	last := "nothing"
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		s, err := r.status()
		if err == nil && good(s) {
			return s
		}
		last = fmt.Sprintf("%+v, %v", s, err)
	}
	r.t.Fatalf("waited for %s; the status is %s", what, last)
	return status{}
}
