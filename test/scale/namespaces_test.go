package scale

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
)

// made counts what namespaces has made.
var made atomic.Int32

// hostAt is the machine's own address beside members whose addresses begin so.
func hostAt(address string) string { return address + "99" }

// burst is how many bytes a link that was idle passes at once: 4 ms of a fast one. tbf
// then loses nothing where the processors are busy and it is woken late.
func burst(mbits int) int { return max(64<<10, mbits*1000/8*4) }

// namespaces makes a network namespace for each member, all on one bridge, whose
// link sends no faster than so many Mbit/s, and takes them away when the test ends. The
// machine itself is at hostAt's address on the bridge, over no link. It returns a prefix of
// their names and of their addresses.
func namespaces(t *testing.T, world, mbits int) (name, address string) {
	t.Helper()
	// A namespace's links outlive it for a while: each test has names of its own.
	n := made.Add(1)
	name, address = fmt.Sprintf("ddpm%d%c-", os.Getpid()%10000, 'a'+n), fmt.Sprintf("10.213.%d.1", n)
	bridge := strings.TrimSuffix(name, "-")
	tool := func(words string) error {
		fields := strings.Fields(words)
		if out, err := exec.CommandContext(t.Context(), fields[0], fields[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", words, err, out)
		}
		return nil
	}
	t.Cleanup(func() {
		for rank := range world {
			_ = exec.Command("ip", "link", "del", fmt.Sprint(name, "e", rank)).Run()
			_ = exec.Command("ip", "netns", "del", fmt.Sprint(name, rank)).Run()
		}
		_ = exec.Command("ip", "link", "del", bridge).Run()
	})
	commands := []string{"ip link add " + bridge + " type bridge", "ip addr add " + hostAt(address) + "/24 dev " + bridge, "ip link set " + bridge + " up"}
	for rank := range world {
		ns := fmt.Sprint(name, rank)
		end := fmt.Sprint(name, "e", rank)
		in := "ip netns exec " + ns + " "
		commands = append(commands,
			"ip netns add "+ns, "ip link add "+end+" type veth peer name eth0 netns "+ns,
			"ip link set "+end+" master "+bridge+" up",
			in+fmt.Sprintf("ip addr add %s%d/24 dev eth0", address, rank), in+"ip link set eth0 up", in+"ip link set lo up",
			in+fmt.Sprintf("tc qdisc add dev eth0 root tbf rate %dmbit burst %d latency 50ms", mbits, burst(mbits)))
	}
	for _, c := range commands {
		if err := tool(c); err != nil {
			t.Fatal(err)
		}
	}
	return name, address
}
