//go:build chaos

package chaos

import (
	"bufio"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// stepGaps are the times between the steps that a worker logged.
func (c *cluster) stepGaps(worker string) []time.Duration {
	c.t.Helper()
	f, err := os.Open(filepath.Join(c.dir, worker+".log"))
	if err != nil {
		c.t.Fatal(err)
	}
	defer f.Close()
	var gaps []time.Duration
	var last time.Time
	for lines := bufio.NewScanner(f); lines.Scan(); {
		line := lines.Text()
		if !strings.Contains(line, "msg=step ") {
			continue
		}
		at, err := time.Parse(time.RFC3339Nano, strings.TrimPrefix(strings.Fields(line)[0], "time="))
		if err != nil {
			c.t.Fatal(err)
		}
		if !last.IsZero() {
			gaps = append(gaps, at.Sub(last))
		}
		last = at
	}
	if len(gaps) == 0 {
		c.t.Fatalf("%s logged no steps", worker)
	}
	return gaps
}

// until waits for a status that a test wants.
func (c *cluster) until(what string, limit time.Duration, want func(status) bool) status {
	c.t.Helper()
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if s, ok := c.status(); ok && want(s) {
			return s
		}
	}
	s, ok := c.status()
	c.t.Fatalf("not %s within %s: %+v %v", what, limit, s, ok)
	return s
}
