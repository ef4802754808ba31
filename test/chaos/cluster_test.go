package chaos

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// hosts is how many machines the workers stand for: those of one share memory, several go
// in lanes or, where each is its own, round a ring or by halving.
var hosts = flag.Int("hosts", 1, "loopback addresses among which workers are shared out")

// bin is the folder that TestMain builds the commands into.
var bin string

func TestMain(m *testing.M) {
	code, err := buildAndRun(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		code = 1
	}
	os.Exit(code)
}

func buildAndRun(m *testing.M) (int, error) {
	dir, err := os.MkdirTemp("", "ddpm-chaos-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	bin = dir
	// What tests look for in logs is text.
	if err := os.Setenv("DDPM_LOG_FORMAT", "text"); err != nil {
		return 0, err
	}
	cmd := exec.Command("go", "build", "-o", dir+string(filepath.Separator), "./cmd/...")
	cmd.Dir = filepath.Join("..", "..")
	if out, err := cmd.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("go build: %w\n%s", err, out)
	}
	return m.Run(), nil
}

// process is one of a cluster's, with its log in a file.
type process struct {
	name   string
	cmd    *exec.Cmd
	stdout bytes.Buffer
	log    *os.File
	done   chan struct{}
}

func (c *cluster) launch(name, program string, args ...string) *process {
	c.t.Helper()
	return c.start(name, exec.Command(filepath.Join(bin, program), args...))
}

// start starts a command with its log in a file of its name.
func (c *cluster) start(name string, cmd *exec.Cmd) *process {
	c.t.Helper()
	p := &process{name: name, cmd: cmd, done: make(chan struct{})}
	var err error
	if p.log, err = os.OpenFile(filepath.Join(c.dir, name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644); err != nil {
		c.t.Fatal(err)
	}
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, p.log
	if err := p.cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait() // ProcessState says more
		_ = p.log.Close()
		close(p.done)
	}()
	return p
}

func (p *process) signal(s syscall.Signal) { _ = p.cmd.Process.Signal(s) } // it may have ended

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// cluster is a coordinator and workers as processes.
type cluster struct {
	t    *testing.T
	dir  string
	args []string // the coordinator's
	web  string
	// entry are the flags by which workers join, as the coordinator prints them.
	entry []string

	coordinator *process
	workers     []*process
	started     int
}

// freePort is one that nobody listens on for now.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}

func newCluster(t *testing.T, workers int, args ...string) *cluster {
	t.Helper()
	return newClusterAt(t, "127.0.0.1", workers, args...)
}

// newClusterAt is one whose coordinator is reached at an address of this machine.
func newClusterAt(t *testing.T, host string, workers int, args ...string) *cluster {
	t.Helper()
	c := &cluster{t: t, dir: t.TempDir(), web: "127.0.0.1:" + freePort(t)}
	c.args = append([]string{
		"--preset", "tiny", "--workers", strconv.Itoa(workers), "--data-dir", filepath.Join(c.dir, "data"),
		"--listen", net.JoinHostPort(host, freePort(t)), "--http", c.web, "-v",
	}, args...)
	t.Cleanup(c.cleanup)
	c.lead()
	c.entry = c.joinLine()
	for range workers {
		c.join()
	}
	return c
}

func (c *cluster) lead() { c.coordinator = c.launch("coordinator", "ddpm-coordinator", c.args...) }

// joins is how the coordinator says how workers join.
var joins = regexp.MustCompile(`ddpm-worker (--join \S+ --token-file \S+ --ca-hash \S+)`)

// joinLine waits for the flags that let a worker in.
func (c *cluster) joinLine() []string {
	c.t.Helper()
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		log, _ := os.ReadFile(filepath.Join(c.dir, "coordinator.log"))
		if m := joins.FindSubmatch(log); m != nil {
			return strings.Fields(string(m[1]))
		}
		if c.coordinator.ended() {
			c.t.Fatalf("the coordinator ended: %s", log)
		}
	}
	c.t.Fatal("the coordinator does not say how to join")
	return nil
}

func (c *cluster) join() *process {
	c.started++
	args := append(slices.Clone(c.entry), "--threads", "1", "-v")
	if *hosts > 1 {
		args = append(args, "--advertise", fmt.Sprintf("127.0.0.%d", 1+c.started%*hosts))
	}
	p := c.launch(fmt.Sprintf("worker-%03d", c.started), "ddpm-worker", args...)
	c.workers = append(c.workers, p)
	return p
}

// cleanup ends what is left, and shows the logs of a test that failed.
func (c *cluster) cleanup() {
	for _, p := range append([]*process{c.coordinator}, c.workers...) {
		p.signal(syscall.SIGKILL)
		<-p.done
	}
	if !c.t.Failed() {
		return
	}
	keep := os.Getenv("CHAOS_KEEP")
	if keep != "" {
		_ = os.CopyFS(filepath.Join(keep, filepath.Base(c.dir)), os.DirFS(c.dir)) // a convenience
	}
	log, _ := os.ReadFile(filepath.Join(c.dir, "coordinator.log"))
	lines := strings.Split(string(log), "\n")
	c.t.Logf("the coordinator's last words:\n%s", strings.Join(lines[max(0, len(lines)-60):], "\n"))
}

// alive are the workers that have not ended.
func (c *cluster) alive() []*process {
	var alive []*process
	for _, w := range c.workers {
		if !w.ended() {
			alive = append(alive, w)
		}
	}
	return alive
}

// status asks the coordinator; false while it does not answer.
func (c *cluster) status() (s status, ok bool) {
	client := http.Client{Timeout: time.Second}
	r, err := client.Get("http://" + c.web + "/api/status")
	if err != nil {
		return s, false
	}
	defer r.Body.Close()
	return s, json.NewDecoder(r.Body).Decode(&s) == nil
}

// status is what these tests read of /api/status.
type status struct {
	Phase      string `json:"phase"`
	Reason     string `json:"reason"`
	Step       uint64 `json:"step"`
	Generation uint64 `json:"generation"`
	Workers    []struct {
		ID  string `json:"id"`
		PID int    `json:"pid"`
		// Shards are those that it computes of each step, Rank is below 0 for one that is
		// no member.
		Shards int `json:"shards"`
		Rank   int `json:"rank"`
	} `json:"workers"`
	History []struct {
		Members int `json:"members"`
	} `json:"history"`
}

// closing is the last line of a finished run.
var closing = regexp.MustCompile(`(?m)^run \S+: step (\d+) loss \S+ digest (sha256:[0-9a-f]{64})$`)

// finish waits for the run's end and returns its digest.
func (c *cluster) finish(limit time.Duration) string {
	c.t.Helper()
	select {
	case <-c.coordinator.done:
	case <-time.After(limit):
		s, _ := c.status()
		c.t.Fatalf("the run has not ended within %s: %+v", limit, s)
	}
	m := closing.FindStringSubmatch(c.coordinator.stdout.String())
	if m == nil {
		c.t.Fatalf("the coordinator ended with %v and without a digest", c.coordinator.cmd.ProcessState)
	}
	return m[2]
}

// quiet is the digest of one worker that nobody disturbs.
func quiet(t *testing.T, steps int, args ...string) string {
	t.Helper()
	args = append([]string{"--local", "--preset", "tiny", "--workers", "1", "--threads", "1", "--steps", strconv.Itoa(steps), "--data-dir", t.TempDir()}, args...)
	out, err := exec.Command(filepath.Join(bin, "ddpm-coordinator"), args...).Output()
	m := closing.FindStringSubmatch(string(out))
	if exit := (*exec.ExitError)(nil); m == nil && errors.As(err, &exit) {
		t.Fatalf("a quiet run: %v\n%s", err, exit.Stderr)
	}
	return m[2]
}

// chaos does faults by a seeded schedule until the run ends, and counts them.
func (c *cluster) chaos(seed uint64, workers int, between time.Duration) map[string]int {
	r := rand.New(rand.NewPCG(seed, 0))
	faults := map[string]int{}
	note := func(what string, p *process) {
		faults[what]++
		c.t.Logf("%s %s %s", time.Now().Format("05.000"), what, p.name)
	}
	count := 0
	for {
		count++
		// On a machine that is too busy to regroup between two faults they become rarer.
		slower := 1 + max(0, count-150)/25
		select {
		case <-c.coordinator.done:
			return faults
		case <-time.After(time.Duration(slower) * (between/2 + time.Duration(r.Int64N(int64(between))))):
		}
		alive := c.alive()
		var one *process
		if len(alive) > 0 {
			one = alive[r.IntN(len(alive))]
		}
		switch n := r.IntN(100); {
		case n < 15:
			if c.coordinator.ended() {
				return faults
			}
			note("coordinator killed", c.coordinator)
			c.coordinator.signal(syscall.SIGKILL)
			<-c.coordinator.done
			if closing.MatchString(c.coordinator.stdout.String()) {
				return faults
			}
			c.lead()
		case n < 45 && len(alive) > 1:
			note("killed", one)
			one.signal(syscall.SIGKILL)
		case n < 55 && len(alive) > 1:
			note("halted", one)
			one.signal(syscall.SIGSTOP)
			time.AfterFunc(time.Duration(r.IntN(4000))*time.Millisecond, func() { one.signal(syscall.SIGCONT) })
		case n < 65 && len(alive) > 1:
			note("told to end", one)
			one.signal(syscall.SIGTERM)
		case len(alive) < workers+2:
			note("joined", c.join())
		}
		for len(c.alive()) < max(1, workers-1) {
			note("joined", c.join())
		}
	}
}
