package coordinator

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
)

const (
	// exitGrace is how long local workers have to end by themselves once the run
	// has, and how long a broken session waits for its process' last words.
	exitGrace = 5 * time.Second
	lastWords = time.Second
)

// localWorkers are the child processes of --local.
type localWorkers struct {
	cancel context.CancelFunc
	all    sync.WaitGroup
	// lost hears of a child that ended though the run had not.
	lost chan childEnd

	mu       sync.Mutex
	children map[uint32]*child // by process id
	over     bool              // the run has ended: children may
}

// childEnd says how a child ended, as part of a sentence.
type childEnd struct {
	host string
	pid  uint32
	how  string
}

// is says whether the child is the worker that introduces itself so.
func (e childEnd) is(h *ddpmv1.Hello) bool { return h.GetPid() == e.pid && h.GetHostname() == e.host }

// hostname is this machine's name, as workers here tell theirs.
func hostname() string {
	host, err := os.Hostname()
	if err != nil {
		return "unknown"
	}
	return host
}

// child is one local worker.
type child struct {
	number int
	cmd    *exec.Cmd
	words  *childLog
	ended  chan struct{}
	how    string // after ended
}

// startLocal starts n workers that join the address. command is the program and
// its first arguments.
func startLocal(ctx context.Context, n int, command []string, access localAccess, address string, threads int, log io.Writer, format string, verbose bool) (*localWorkers, error) {
	ctx, cancel := context.WithCancel(ctx)
	w := &localWorkers{cancel: cancel, lost: make(chan childEnd, n), children: map[uint32]*child{}}
	for i := range n {
		if err := w.start(ctx, i+1, command, access, address, threads, log, format, verbose); err != nil {
			w.stop()
			return nil, fmt.Errorf("start local worker %d: %w", i+1, err)
		}
	}
	return w, nil
}

func (w *localWorkers) start(ctx context.Context, number int, command []string, access localAccess, address string, threads int, log io.Writer, format string, verbose bool) error {
	args := append(append([]string(nil), command[1:]...), "--join", address, "--threads", strconv.Itoa(threads), "--log-format", format)
	args = append(args, access.flags...)
	cmd := exec.CommandContext(ctx, command[0], args...)
	cmd.Env = append(os.Environ(), access.env...)
	cmd.SysProcAttr = childAttributes()
	cmd.WaitDelay = exitGrace
	c := &child{
		number: number, cmd: cmd, ended: make(chan struct{}),
		words: &childLog{prefix: fmt.Sprintf("[worker %d] ", number), w: log, verbose: verbose},
	}
	cmd.Stderr = c.words
	started := make(chan error)
	w.all.Go(func() {
		// A child may end with the thread that started it: this one stays for as long.
		runtime.LockOSThread()
		if err := cmd.Start(); err != nil {
			started <- err
			return
		}
		w.mu.Lock()
		w.children[uint32(cmd.Process.Pid)] = c
		w.mu.Unlock()
		started <- nil
		w.wait(c)
	})
	return <-started
}

// wait waits for a child's end and, if the run goes on, tells of it.
func (w *localWorkers) wait(c *child) {
	_ = c.cmd.Wait() // ProcessState says more
	c.how = fmt.Sprintf("local worker %d (pid %d) ended: %s", c.number, c.cmd.Process.Pid, c.cmd.ProcessState)
	if last := c.words.last(); last != "" {
		c.how += ": " + last
	}
	close(c.ended)
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.over {
		w.lost <- childEnd{hostname(), uint32(c.cmd.Process.Pid), c.how} // which has room for all
	}
}

// why explains a broken session by how the process behind it ended, if it is one
// of these and ends at about the same time.
func (w *localWorkers) why(hello *ddpmv1.Hello, err error) error {
	w.mu.Lock()
	c := w.children[hello.GetPid()]
	w.mu.Unlock()
	if c == nil || hello.GetHostname() != hostname() {
		return err
	}
	timer := time.NewTimer(lastWords)
	defer timer.Stop()
	select {
	case <-c.ended:
		return errors.New(c.how)
	case <-timer.C:
		return err
	}
}

// end lets the children end by themselves for a while, and then makes them.
func (w *localWorkers) end() {
	w.mu.Lock()
	w.over = true
	w.mu.Unlock()
	timer := time.AfterFunc(exitGrace, w.cancel)
	w.all.Wait()
	timer.Stop()
	w.cancel()
}

// stop ends the children at once.
func (w *localWorkers) stop() {
	w.cancel()
	w.end()
}

// childLog passes on a child's warnings and errors, and what is no log line, such
// as a crash; with verbose all it says. It keeps what the child died of.
type childLog struct {
	prefix  string
	w       io.Writer
	verbose bool

	mu   sync.Mutex
	rest []byte
	line string
}

// Write implements io.Writer.
func (l *childLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rest = append(l.rest, b...)
	for {
		i := bytes.IndexByte(l.rest, '\n')
		if i < 0 {
			return len(b), nil
		}
		line := string(l.rest[:i])
		l.rest = l.rest[i+1:]
		final, ok := strings.CutPrefix(line, "ddpm-worker: ")
		if ok || l.line == "" && (strings.HasPrefix(line, "panic: ") || strings.HasPrefix(line, "fatal error: ")) {
			l.line = final
		}
		prefix, inJSON := l.prefix, strings.HasPrefix(line, `{"time":`)
		if inJSON {
			prefix = "" // the line stays one of JSON
		}
		if l.verbose || !ok && !inJSON && !strings.HasPrefix(line, "time=") || alarms(line) {
			if _, err := io.WriteString(l.w, prefix+line+"\n"); err != nil {
				return len(b), nil // nobody reads our log: the child goes on
			}
		}
	}
}

// alarms says that a line of a log is a warning or an error.
func alarms(line string) bool {
	for _, level := range []string{"WARN", "ERROR"} {
		if strings.Contains(line, "level="+level) || strings.Contains(line, `"level":"`+level+`"`) {
			return true
		}
	}
	return false
}

func (l *childLog) last() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.line
}
