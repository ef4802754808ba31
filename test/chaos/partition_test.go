//go:build chaos && linux

package chaos

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

var slowRate = flag.String("rate", "20mbit", "of the slow link, as tc has it")

// network is a switch of this machine, with network namespaces on its ports.
type network struct {
	t *testing.T
	// bridge is the switch, host its address, at which the coordinator listens.
	bridge, host string
	subnet       string
	ports        int
}

// newNetwork makes a switch. Names and addresses are of the process, so that tests
// beside it have others.
func newNetwork(t *testing.T) *network {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("network namespaces need root")
	}
	pid := os.Getpid()
	n := &network{t: t, bridge: fmt.Sprintf("ddpm%d", pid), subnet: fmt.Sprintf("10.%d.%d.", 100+pid>>8%100, pid%256)}
	n.host = n.subnet + "1"
	t.Cleanup(func() { _ = exec.Command("ip", "link", "del", n.bridge).Run() })
	n.ip("link add %s type bridge", n.bridge)
	n.ip("addr add %s/24 dev %s", n.host, n.bridge)
	n.ip("link set %s up", n.bridge)
	return n
}

// ip runs ip, which not every machine allows.
func (n *network) ip(format string, args ...any) {
	n.t.Helper()
	line := fmt.Sprintf(format, args...)
	if out, err := exec.Command("ip", strings.Fields(line)...).CombinedOutput(); err != nil {
		n.t.Skipf("no network namespaces here: ip %s: %v: %s", line, err, out)
	}
}

// port is a network namespace on the switch.
type port struct {
	network *network
	// name is the namespace's, outside and inside the ends of its cable.
	name, outside, inside string
}

func (n *network) port() port {
	n.t.Helper()
	n.ports++
	p := port{n, fmt.Sprintf("%s-%d", n.bridge, n.ports), fmt.Sprintf("%so%d", n.bridge, n.ports), "cable0"}
	n.t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", p.name).Run() }) // the cable goes with it
	n.ip("netns add %s", p.name)
	n.ip("link add %s type veth peer name %s netns %s", p.outside, p.inside, p.name)
	n.ip("link set %s master %s", p.outside, n.bridge)
	n.ip("link set %s up", p.outside)
	n.ip("-n %s addr add %s%d/24 dev %s", p.name, n.subnet, n.ports+1, p.inside)
	n.ip("-n %s link set %s up", p.name, p.inside)
	n.ip("-n %s link set lo up", p.name)
	return p
}

// cable cuts the port off, or mends that.
func (p port) cable(state string) { p.network.ip("-n %s link set %s %s", p.name, p.inside, state) }

// isolate lets the port reach no other isolated one, or all again. Packets between
// them vanish without a word, and both still reach the coordinator.
func (p port) isolate(state string) {
	p.network.ip("link set %s type bridge_slave isolated %s", p.outside, state)
}

// slow bounds what goes through the port, both ways.
func (p port) slow(rate string) {
	p.network.t.Helper()
	for _, at := range []string{"-n " + p.name + " qdisc add dev " + p.inside, "qdisc add dev " + p.outside} {
		line := at + " root tbf rate " + rate + " burst 32kb latency 100ms"
		if out, err := exec.Command("tc", strings.Fields(line)...).CombinedOutput(); err != nil {
			p.network.t.Skipf("no slow links here: tc %s: %v: %s", line, err, out)
		}
	}
}

// launchIn starts a worker at a port.
func (c *cluster) launchIn(p port) *process {
	c.started++
	args := append([]string{"netns", "exec", p.name, filepath.Join(bin, "ddpm-worker")}, c.entry...)
	w := c.start(fmt.Sprintf("worker-%03d", c.started), exec.Command("ip", append(args, "--threads", "1", "-v")...))
	c.workers = append(c.workers, w)
	return w
}

// TestPartition measures how long a worker is missed whose network is cut, and
// whether it comes back when that is mended.
func TestPartition(t *testing.T) {
	n := newNetwork(t)
	p := n.port()
	c := newClusterAt(t, n.host, 3, "--steps", "10000000", "--checkpoint-every", "1000000")
	c.launchIn(p)
	var missed []time.Duration
	for trial := range max(1, *trials/20) {
		s := c.until("training", limit, training(4))
		c.until("on", limit, func(now status) bool { return now.Step > s.Step+3 })
		s, _ = c.status()
		at := time.Now()
		p.cable("down")
		c.after(s.Generation, s.Step)
		missed = append(missed, time.Since(at))
		time.Sleep(2 * time.Second)
		p.cable("up")
		at = time.Now()
		c.until("back", limit, training(4))
		t.Logf("trial %d: missed for %s, back %s after the cable", trial, missed[trial], time.Since(at))
	}
	t.Logf("a worker without its network is missed for %s, at most %s", percentile(missed, 50), percentile(missed, 100))
}

// TestPairPartition cuts the network between two neighbours in the ring alone: both
// still reach the coordinator and the other two. One is taken out, comes back
// between the others, and the weights are the quiet ones.
func TestPairPartition(t *testing.T) {
	const steps = 1000
	var missed []time.Duration
	for trial := range max(1, *trials/20) {
		t.Run(strconv.Itoa(trial), func(t *testing.T) {
			n := newNetwork(t)
			c := newClusterAt(t, n.host, 2, "--workers", "4", "--steps", strconv.Itoa(steps), "--checkpoint-every", "1000000")
			pair := []port{n.port(), n.port()}
			c.until("two workers", limit, func(s status) bool { return len(s.Workers) == 2 })
			for i, p := range pair { // one after the other, so that they are neighbours
				c.launchIn(p)
				c.until("another", limit, func(s status) bool { return len(s.Workers) == 3+i })
			}
			s := c.until("training", limit, training(4))
			c.until("on", limit, func(now status) bool { return now.Step > s.Step+3 })
			s, _ = c.status()
			at := time.Now()
			for _, p := range pair {
				p.isolate("on")
			}
			c.after(s.Generation, s.Step)
			missed = append(missed, time.Since(at))
			c.until("four again, though two do not reach each other", limit, training(4))
			t.Logf("the step runs again after %s, all four after %s", missed[len(missed)-1], time.Since(at))
			if got, want := c.finish(limit), quiet(t, steps); got != want {
				t.Errorf("digest %s, one quiet worker has %s", got, want)
			}
		})
	}
	if len(missed) > 0 {
		t.Logf("two neighbours that do not reach each other cost %s, at most %s", percentile(missed, 50), percentile(missed, 100))
	}
}

// TestSlowLink puts a worker behind a slow cable: training goes on at that pace,
// nobody is taken out, and the weights are the quiet ones.
func TestSlowLink(t *testing.T) {
	const steps = 60
	n := newNetwork(t)
	p := n.port()
	c := newClusterAt(t, n.host, 2, "--workers", "3", "--steps", strconv.Itoa(steps), "--checkpoint-every", "20")
	c.launchIn(p)
	s := c.until("training", limit, training(3))
	p.slow(*slowRate)
	at := time.Now()
	s = c.until("training", limit, training(3))
	got := c.finish(20 * time.Minute)
	t.Logf("%d steps through a link of %s take %s", steps-int(s.Step), *slowRate, time.Since(at))
	if want := quiet(t, steps); got != want {
		t.Errorf("digest %s, one quiet worker has %s", got, want)
	}
	log, _ := os.ReadFile(filepath.Join(c.dir, "coordinator.log"))
	for _, line := range strings.Split(string(log), "\n") {
		if strings.Contains(line, "was lost") || strings.Contains(line, "is not reached") {
			t.Errorf("somebody was taken out: %s", line)
		}
	}
}
