package s3test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// Fault is what a Proxy does to the connections through it. The zero value passes
// everything.
type Fault struct {
	// Refuse closes connections at once, as a server that is down.
	Refuse bool
	// Unavailable answers every request with 503 SlowDown.
	Unavailable bool
	// Stall takes what comes and passes nothing on.
	Stall bool
	// BytesPerSecond is how fast each direction of a connection is; 0 is no limit.
	BytesPerSecond int
	// CutAfter breaks a connection once so many bytes have gone to the server over
	// it; 0 never does.
	CutAfter int64
}

// Proxy is a way to a server over TCP, with faults. It serves until the test ends.
type Proxy struct {
	// Address is its HOST:PORT.
	Address string

	target   string
	listener net.Listener
	work     sync.WaitGroup

	mu     sync.Mutex
	fault  Fault
	conns  map[net.Conn]bool
	closed bool
	done   chan struct{}
	up     int64
}

// StartProxy starts a proxy to a server's address.
func StartProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("s3test: %v", err)
	}
	p := &Proxy{Address: l.Addr().String(), target: target, listener: l, conns: map[net.Conn]bool{}, done: make(chan struct{})}
	p.work.Go(p.accept)
	t.Cleanup(p.close)
	return p
}

// Set changes the fault, also for the connections that are open: those are broken,
// unless only their speed changes.
func (p *Proxy) Set(f Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	before := p.fault
	p.fault = f
	before.BytesPerSecond, f.BytesPerSecond = 0, 0
	if before != f {
		p.breakAll()
	}
}

// Sent counts the bytes that went to the server.
func (p *Proxy) Sent() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.up
}

func (p *Proxy) now() Fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.fault
}

func (p *Proxy) breakAll() {
	for c := range p.conns {
		_ = c.Close() // whoever uses it sees it
	}
}

func (p *Proxy) close() {
	p.mu.Lock()
	p.closed = true
	close(p.done)
	_ = p.listener.Close() // which ends accept
	p.breakAll()
	p.mu.Unlock()
	p.work.Wait()
}

// hold keeps a connection to be broken later. It is false when the proxy ends.
func (p *Proxy) hold(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.conns[c] = true
	}
	return !p.closed
}

func (p *Proxy) drop(c net.Conn) {
	_ = c.Close() // it may be broken already
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
}

func (p *Proxy) accept() {
	for {
		c, err := p.listener.Accept()
		if err != nil {
			return
		}
		if p.now().Refuse || !p.hold(c) {
			_ = c.Close() // that is the refusal
			continue
		}
		p.work.Go(func() {
			defer p.drop(c)
			switch f := p.now(); {
			case f.Unavailable:
				unavailable(c)
			case f.Stall:
				<-p.ended(c)
			default:
				p.pass(c)
			}
		})
	}
}

// ended is closed when the connection is, or the proxy.
func (p *Proxy) ended(c net.Conn) <-chan struct{} {
	over := make(chan struct{})
	p.work.Go(func() {
		defer close(over)
		_, _ = io.Copy(io.Discard, c)
	})
	return over
}

// unavailable answers the requests of a connection as a server that is overloaded.
func unavailable(c net.Conn) {
	const body = `<?xml version="1.0" encoding="UTF-8"?><Error><Code>SlowDown</Code><Message>Please reduce your request rate</Message></Error>`
	r := bufio.NewReader(c)
	for {
		request, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		if _, err := io.Copy(io.Discard, request.Body); err != nil {
			return
		}
		answer := http.Response{
			StatusCode: http.StatusServiceUnavailable, ProtoMajor: 1, ProtoMinor: 1, Request: request,
			Header:        http.Header{"Content-Type": {"application/xml"}},
			ContentLength: int64(len(body)), Body: io.NopCloser(strings.NewReader(body)),
		}
		if answer.Write(c) != nil {
			return
		}
	}
}

// pass copies both ways until one of them ends.
func (p *Proxy) pass(c net.Conn) {
	s, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	defer p.drop(s)
	if !p.hold(s) {
		return
	}
	p.work.Go(func() {
		p.copy(c, s, nil)
		p.drop(c)
		p.drop(s)
	})
	var sent int64
	p.copy(s, c, &sent)
}

// copy copies from src to dst at the fault's speed; sent counts what goes to the
// server, nil what comes from it.
func (p *Proxy) copy(dst, src net.Conn, sent *int64) {
	buf := make([]byte, 16<<10)
	for {
		f := p.now()
		want := buf
		if f.BytesPerSecond > 0 {
			want = buf[:min(len(buf), max(f.BytesPerSecond/10, 1))]
		}
		n, err := src.Read(want)
		if sent != nil {
			*sent += int64(n)
			p.count(n)
			if f.CutAfter > 0 && *sent > f.CutAfter {
				return
			}
		}
		if f.BytesPerSecond > 0 && !p.pause(time.Duration(n)*time.Second/time.Duration(f.BytesPerSecond)) {
			return
		}
		if _, werr := dst.Write(want[:n]); err != nil || werr != nil {
			return
		}
	}
}

func (p *Proxy) count(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.up += int64(n)
}

// pause is false when the proxy ends meanwhile.
func (p *Proxy) pause(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-p.done:
		return false
	}
}
