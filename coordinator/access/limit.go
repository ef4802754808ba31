package access

import (
	"net"
	"sync"

	"golang.org/x/time/rate"
)

// How often machines may ask to join, a second and at once: so that hundreds of
// pods that start together get in, and nobody keeps the coordinator busy. Secrets
// are beyond guessing at any rate.
const (
	hostRate, hostBurst = 10, 100
	allRate, allBurst   = 100, 1000
	// maxHosts bounds the memory of who asked lately.
	maxHosts = 4096
)

// limiter bounds the rate of joins, of all and of each host.
type limiter struct {
	all   *rate.Limiter
	mu    sync.Mutex
	hosts map[string]*rate.Limiter
}

func newLimiter() *limiter {
	return &limiter{all: rate.NewLimiter(allRate, allBurst), hosts: map[string]*rate.Limiter{}}
}

// allow says whether a host may ask now.
func (l *limiter) allow(address net.Addr) bool {
	return l.host(hostOf(address)).Allow() && l.all.Allow()
}

func (l *limiter) host(name string) *rate.Limiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	h := l.hosts[name]
	if h == nil {
		if len(l.hosts) >= maxHosts {
			l.forget()
		}
		h = rate.NewLimiter(hostRate, hostBurst)
		l.hosts[name] = h
	}
	return h
}

// forget drops the hosts that have not asked for a while and, if all have, every
// one: the limit of all together holds.
func (l *limiter) forget() {
	for name, h := range l.hosts {
		if h.Tokens() >= hostBurst {
			delete(l.hosts, name)
		}
	}
	if len(l.hosts) >= maxHosts {
		clear(l.hosts)
	}
}
