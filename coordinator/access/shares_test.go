package access

import (
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/ddpm-cluster/ddpm-cluster/internal/pki"
)

func TestShares(t *testing.T) {
	t.Parallel()
	s := newShares(4)
	at := func(host string) net.Addr { return &net.TCPAddr{IP: net.ParseIP(host), Port: 1} }
	var gone []int
	var leave []func()
	take := func(host string) bool {
		i := len(leave)
		l := s.take(at(host), func() { gone = append(gone, i) })
		leave = append(leave, l)
		return l != nil
	}
	for range 4 {
		if !take("192.0.2.1") {
			t.Fatal("a host that is alone has no place")
		}
	}
	if take("192.0.2.1") {
		t.Error("a fifth place")
	}
	for range 2 {
		if !take("192.0.2.2") {
			t.Error("a host with less than its share gets none of the one that has most")
		}
	}
	if take("192.0.2.2") || take("192.0.2.1") {
		t.Error("equal shares are taken from each other")
	}
	if !take("192.0.2.3") {
		t.Error("a third host gets none")
	}
	if len(gone) != 3 || gone[0] != 0 || gone[1] != 1 {
		t.Errorf("%v were put out, want the oldest two of the first host and one more", gone)
	}
	for _, l := range leave {
		if l != nil {
			l()
		}
	}
	if s.taken != 0 || len(s.hosts) != 0 {
		t.Errorf("%d places of %d hosts are taken when all have left", s.taken, len(s.hosts))
	}
}

// A host has as many addresses of IPv6 as it likes, and is one.
func TestNetworks(t *testing.T) {
	t.Parallel()
	for a, b := range map[string]string{"2001:db8::1": "2001:db8::ffff:2", "fe80::1": "fe80::2", "::ffff:192.0.2.1": "192.0.2.1"} {
		at := func(host string) string { return network(&net.TCPAddr{IP: net.ParseIP(host), Port: 1}) }
		if at(a) != at(b) {
			t.Errorf("%s and %s are not of one host: %q and %q", a, b, at(a), at(b))
		}
		if at(a) == at("2001:db8:1::1") || at(a) == at("192.0.2.2") {
			t.Errorf("%s is another's, too", a)
		}
	}
}

// A host whose connections say nothing, or say no more than hello, keeps out nobody
// elsewhere.
func TestSilentConnections(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("there is one loopback address")
	}
	for name, silent := range map[string]func(*testing.T, *house){
		"no handshake": func(t *testing.T, h *house) {
			for range 10 * handshakes {
				c, err := net.Dial("tcp", h.address)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = c.Close() })
			}
		},
		"no certificate": func(t *testing.T, h *house) {
			for i := range strangers {
				leave := h.guard.places.take(&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: i}, func() {})
				t.Cleanup(leave)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := build(t)
			silent(t, h)
			h.from = "127.0.0.2"
			begin := time.Now()
			if _, err := h.join(h.door.LocalToken()); err != nil {
				t.Error("one from elsewhere is not let in:", err)
			}
			if _, err := session(t, h.as(h.holder(h.ca, pki.Worker, "w1", time.Now()).Client(pki.Coordinator, ""))); err != nil {
				t.Error("a member from elsewhere has no session:", err)
			}
			if took := time.Since(begin); took > wait {
				t.Errorf("it waited %v for the silent ones", took)
			}
		})
	}
}
