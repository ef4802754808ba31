package access

import (
	"net"
	"net/netip"
	"slices"
	"sync"
)

// shares are places that hosts share: while there are some anybody may have them, and
// when all are taken one of the host that has most is taken back for a host that has
// fewer. So many machines behind one address may come at once, and one that keeps all
// places keeps nobody else out.
type shares struct {
	most  int
	mu    sync.Mutex
	taken int
	hosts map[string][]*share // the oldest first; none is empty
}

// share is a place that is taken.
type share struct{ evict func() }

func newShares(most int) *shares {
	return &shares{most: most, hosts: map[string][]*share{}}
}

// take takes a place and gives how to give it back, or nil where the host has its share.
// evict is called, from another goroutine and at most once, where the place goes to
// another host; leave may be called after it.
func (s *shares) take(from net.Addr, evict func()) (leave func()) {
	host := network(from)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.taken == s.most {
		rich := s.richest()
		if len(s.hosts[rich]) <= len(s.hosts[host])+1 {
			return nil
		}
		// The oldest: who means well is done in no time.
		oldest := s.hosts[rich][0]
		s.drop(rich, oldest)
		oldest.evict()
	}
	mine := &share{evict}
	s.hosts[host] = append(s.hosts[host], mine)
	s.taken++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.drop(host, mine)
	}
}

func (s *shares) richest() (host string) {
	for h, all := range s.hosts {
		if len(all) > len(s.hosts[host]) {
			host = h
		}
	}
	return host
}

// drop gives back a place, if it is still taken.
func (s *shares) drop(host string, one *share) {
	all := s.hosts[host]
	i := slices.Index(all, one)
	if i < 0 {
		return
	}
	s.taken--
	if all = slices.Delete(all, i, i+1); len(all) == 0 {
		delete(s.hosts, host)
		return
	}
	s.hosts[host] = all
}

// network is what counts as one host: of IPv6 it is the first half of an address, since the
// second is the host's own choice.
func network(address net.Addr) string {
	host := hostOf(address)
	ip, err := netip.ParseAddr(host)
	if err != nil || !ip.Unmap().Is6() {
		return host
	}
	half, err := ip.Prefix(64)
	if err != nil {
		return host
	}
	return half.String()
}

// hostOf is an address without its port.
func hostOf(address net.Addr) string {
	host, _, err := net.SplitHostPort(address.String())
	if err != nil {
		return ""
	}
	return host
}
