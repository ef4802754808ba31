package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ddpm-cluster/ddpm-cluster/cmd/ddpmctl/crowd"
)

// coordinatorProcess is a coordinator, seen from the benchmark that started it.
type coordinatorProcess struct {
	cmd    *exec.Cmd
	joined chan []string // the words of the command that workers join by
	reader sync.WaitGroup

	mu   sync.Mutex
	tail []string // of its log
	// seconds is how long each generation's change took, by number.
	seconds map[uint64]float64
}

var joinCommand = regexp.MustCompile(`ddpm-worker --join (\S+) --token-file (\S+) --ca-hash (\S+)`)

// startCoordinator starts one of a run with a shard for each worker, which dies with
// ctx.
func startCoordinator(ctx context.Context, program, dir string, workers int) (*coordinatorProcess, error) {
	n := strconv.Itoa(workers)
	p := &coordinatorProcess{
		joined: make(chan []string, 1), seconds: map[uint64]float64{},
		cmd: exec.CommandContext(ctx, program, "--workers", n, "--preset", "tiny", "--batch", n, "--shard-size", "1",
			"--steps", "1000000000", "--checkpoint-every", "1000000000", "--compare-every", "0",
			"--data-dir", dir, "--listen", "127.0.0.1:0", "--log-format", "json"),
	}
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w; build it with the same sources as ddpmctl, or say --coordinator PROGRAM", program, err)
	}
	p.reader.Go(func() { p.read(stderr) })
	return p, nil
}

// read follows the log.
func (p *coordinatorProcess) read(log io.Reader) {
	defer close(p.joined)
	for lines := bufio.NewScanner(log); lines.Scan(); {
		line := lines.Text()
		if m := joinCommand.FindStringSubmatch(line); m != nil {
			p.joined <- m[1:]
		}
		var told struct {
			Message    string  `json:"msg"`
			Generation uint64  `json:"generation"`
			Seconds    float64 `json:"seconds"`
		}
		p.mu.Lock()
		if json.Unmarshal([]byte(line), &told) == nil && told.Message == "all members have been told" {
			p.seconds[told.Generation] = told.Seconds
		}
		p.tail = append(p.tail[max(0, len(p.tail)-9):], line)
		p.mu.Unlock()
	}
}

// access waits until workers can join.
func (p *coordinatorProcess) access(ctx context.Context) (crowd.Access, error) {
	select {
	case words, ok := <-p.joined:
		if !ok {
			return crowd.Access{}, errors.New("the coordinator does not start")
		}
		secret, err := os.ReadFile(words[1])
		return crowd.Access{Address: words[0], Token: strings.TrimSpace(string(secret)), CAHash: words[2]}, err
	case <-ctx.Done():
		return crowd.Access{}, context.Cause(ctx)
	}
}

// told waits until the log has said how long the changes after one generation and up
// to another took, and sums that up.
func (p *coordinatorProcess) told(ctx context.Context, after, last uint64) (float64, error) {
	for {
		p.mu.Lock()
		sum := 0.0
		for n := after + 1; n <= last; n++ {
			sum += p.seconds[n]
		}
		_, ok := p.seconds[last]
		p.mu.Unlock()
		if ok {
			return sum, nil
		}
		if err := wait(ctx, 10*time.Millisecond); err != nil {
			return 0, fmt.Errorf("the log does not say that all have been told of generation %d: %w", last, err)
		}
	}
}

// end kills the coordinator, and returns the end of its log.
func (p *coordinatorProcess) end() error {
	_ = p.cmd.Process.Kill() // it may have ended
	p.reader.Wait()
	_ = p.cmd.Wait() // it was killed
	return fmt.Errorf("the coordinator's log ends so:\n%s", strings.Join(p.tail, "\n"))
}

// now is the time, and the seconds that the process has had of the processors.
func (p *coordinatorProcess) now() (time.Time, float64, error) {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", p.cmd.Process.Pid))
	if err == nil && len(tasks) == 0 {
		err = errors.New("no /proc/PID/task/*/schedstat: this needs Linux, and a coordinator that runs")
	}
	if err != nil {
		return time.Time{}, 0, err
	}
	var total float64
	for _, task := range tasks { // Go ends no thread
		text, err := os.ReadFile(task)
		if err != nil {
			return time.Time{}, 0, err
		}
		nanoseconds, err := strconv.ParseFloat(strings.Fields(string(text))[0], 64)
		if err != nil {
			return time.Time{}, 0, fmt.Errorf("%s: %w", task, err)
		}
		total += nanoseconds / 1e9
	}
	return time.Now(), total, nil
}

// memory is what the process has now, and has had at most, in bytes.
func (p *coordinatorProcess) memory() (now, most int64, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) < 2 || f[0] != "VmRSS:" && f[0] != "VmHWM:" {
			continue
		}
		kib, err := strconv.ParseInt(f[1], 10, 64)
		if err != nil {
			return 0, 0, fmt.Errorf("%q: %w", line, err)
		}
		if f[0] == "VmRSS:" {
			now = kib << 10
		} else {
			most = kib << 10
		}
	}
	return now, most, nil
}
