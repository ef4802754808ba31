package coordinator

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spf13/pflag"
	"go.uber.org/goleak"

	"github.com/ddpm-cluster/ddpm-cluster/coordinator/config"
	"github.com/ddpm-cluster/ddpm-cluster/coordinator/core"
	"github.com/ddpm-cluster/ddpm-cluster/storage"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// wait is how long a test waits for what should come at once.
const wait = 30 * time.Second

// cluster is a coordinator under test, in its own data dir.
type cluster struct {
	t          *testing.T
	dir        string
	address    string
	interrupts chan os.Signal
	log        *watched
	stdout     *bytes.Buffer
	done       chan error
}

// watched is a log that tells where workers join.
type watched struct {
	mu    sync.Mutex
	text  bytes.Buffer
	found chan string // of one address
}

var joinLine = regexp.MustCompile(`ddpm-worker --join (\S+)`)

func (w *watched) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if m := joinLine.FindSubmatch(b); m != nil {
		select {
		case w.found <- string(m[1]):
		default:
		}
	}
	return w.text.Write(b)
}

func (w *watched) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}

// settings are flags as a config.
func settings(t *testing.T, args ...string) *config.Config {
	t.Helper()
	c := new(config.Config)
	fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
	c.Flags(fs)
	if err := fs.Parse(append([]string{"--log-format", "text"}, args...)); err != nil { // which tests read
		t.Fatal(err)
	}
	return c
}

// launch starts a coordinator of tiny runs and waits until workers can join. bend
// may change its options.
func launch(t *testing.T, dir string, bend func(*Options), args ...string) *cluster {
	t.Helper()
	c := &cluster{
		t: t, dir: dir, interrupts: make(chan os.Signal, 2), stdout: &bytes.Buffer{},
		log: &watched{found: make(chan string, 1)}, done: make(chan error, 1),
	}
	o := Options{
		Config: settings(t, append([]string{"--preset", "tiny", "--data-dir", dir, "--listen", "127.0.0.1:0", "--insecure"}, args...)...),
		Stdout: c.stdout, Stderr: c.log, Interrupts: c.interrupts, limits: defaultLimits(),
	}
	o.limits.heartbeat, o.limits.retry = 20*time.Millisecond, time.Millisecond
	o.limits.silence = core.Silence{Min: 2 * wait, Max: 2 * wait} // fake workers say what a test lets them
	if bend != nil {
		bend(&o)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c.done <- Run(ctx, o)
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
		if t.Failed() {
			t.Logf("the coordinator's log:\n%s", c.log)
		}
	})
	select {
	case c.address = <-c.log.found:
	case err := <-c.done:
		t.Fatalf("it ended: %v", err)
	case <-time.After(wait):
		t.Fatal("it does not say how to join")
	}
	return c
}

// end waits for the coordinator's end.
func (c *cluster) end() error {
	c.t.Helper()
	select {
	case err := <-c.done:
		return err
	case <-time.After(wait):
		c.t.Fatal("the run does not end")
		return nil
	}
}

// failed waits for an end with an error that says all of the words.
func (c *cluster) failed(words ...string) {
	c.t.Helper()
	err := c.end()
	for _, w := range words {
		if err == nil || !strings.Contains(err.Error(), w) {
			c.t.Errorf("the run ended with %v, want %q", err, w)
		}
	}
	if c.stdout.Len() > 0 {
		c.t.Errorf("standard output: %s", c.stdout)
	}
}

func (c *cluster) store() storage.Store {
	c.t.Helper()
	st, err := storage.Open(c.t.Context(), c.dir)
	if err != nil {
		c.t.Fatal(err)
	}
	return st
}

func manifestOf(dir string, step int) string {
	return filepath.Join(dir, "runs", "tiny", "checkpoints", fmt.Sprintf("step-%08d", step), "manifest.json")
}
