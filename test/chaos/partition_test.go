//go:build chaos && linux

package chaos

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The network namespace of a worker that can be cut off, and its cable.
const (
	namespace         = "ddpm-chaos"
	outside, inside   = "ddpmchaos0", "ddpmchaos1"
	outsideIP, prefix = "10.99.77.1", "/24"
	insideIP          = "10.99.77.2"
)

// ip runs ip, which needs root.
func ip(t *testing.T, args string) {
	t.Helper()
	if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
		t.Skipf("no network namespaces here: ip %s: %v: %s", args, err, out)
	}
}

// TestPartition measures how long a worker is missed whose network is cut, and
// whether it comes back when that is mended.
func TestPartition(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("network namespaces need root")
	}
	t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", namespace).Run() }) // the cable goes with it
	ip(t, "netns add "+namespace)
	ip(t, fmt.Sprintf("link add %s type veth peer name %s netns %s", outside, inside, namespace))
	ip(t, fmt.Sprintf("addr add %s%s dev %s", outsideIP, prefix, outside))
	ip(t, fmt.Sprintf("link set %s up", outside))
	ip(t, fmt.Sprintf("-n %s addr add %s%s dev %s", namespace, insideIP, prefix, inside))
	ip(t, fmt.Sprintf("-n %s link set %s up", namespace, inside))
	ip(t, fmt.Sprintf("-n %s link set lo up", namespace))

	c := newClusterAt(t, outsideIP, 3, "--steps", "10000000", "--checkpoint-every", "1000000")
	c.launchIn(namespace, "worker-inside")
	for trial := range max(1, *trials/20) {
		s := c.until("training", limit, training(4))
		c.until("on", limit, func(now status) bool { return now.Step > s.Step+3 })
		s, _ = c.status()
		at := time.Now()
		ip(t, fmt.Sprintf("-n %s link set %s down", namespace, inside))
		c.after(s.Generation, s.Step)
		t.Logf("trial %d: missed for %s", trial, time.Since(at))
		time.Sleep(2 * time.Second)
		ip(t, fmt.Sprintf("-n %s link set %s up", namespace, inside))
		at = time.Now()
		c.until("back", limit, training(4))
		t.Logf("trial %d: back %s after the cable", trial, time.Since(at))
	}
}

// launchIn starts a worker in a network namespace.
func (c *cluster) launchIn(namespace, name string) {
	args := append([]string{"netns", "exec", namespace, filepath.Join(bin, "ddpm-worker")}, c.entry...)
	c.workers = append(c.workers, c.start(name, exec.Command("ip", append(args, "--threads", "1", "-v")...)))
}
