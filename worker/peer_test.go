package worker

import (
	"fmt"
	"sync"

	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
)

// peer is a worker as the fake sees it.
type peer struct {
	id      string
	hello   *ddpmv1.Hello // the newest
	stream  ddpmv1.Coordinator_SessionServer
	sending sync.Mutex
	dropped chan struct{} // closing it ends the session

	available, leaving, gone bool
	// step is what its heartbeats told.
	step uint64
	// position is where it stands, nil while it trains.
	position *ddpmv1.Position
}

// takeIn makes a new peer, or finds the one that comes back.
func (f *fake) takeIn(h *ddpmv1.Hello, stream ddpmv1.Coordinator_SessionServer, dropped chan struct{}) *peer {
	var p *peer
	for _, q := range f.peers {
		if q.id == h.GetResume().GetWorkerId() {
			p = q
		}
	}
	if p == nil {
		p = &peer{id: fmt.Sprintf("w%d", len(f.peers))}
		f.peers = append(f.peers, p)
	}
	p.sending.Lock()
	defer p.sending.Unlock()
	p.hello, p.stream, p.dropped = h, stream, dropped
	return p
}

// say sends with the term of a leader; a failure shows at the worker.
func (p *peer) say(term uint64, m *ddpmv1.CoordinatorMessage) {
	p.sending.Lock()
	defer p.sending.Unlock()
	m.Term = term
	_ = p.stream.Send(m)
}

// dismiss lets a worker go, which is out of the run then.
func (p *peer) dismiss(ok bool, reason string) {
	p.gone = true
	p.say(fakeTerm, &ddpmv1.CoordinatorMessage{Body: &ddpmv1.CoordinatorMessage_Dismiss{Dismiss: &ddpmv1.Dismiss{Ok: ok, Reason: reason}}})
}

func (p *peer) halt(term, generation uint64) {
	p.say(term, &ddpmv1.CoordinatorMessage{Body: &ddpmv1.CoordinatorMessage_Halt{Halt: &ddpmv1.Halt{Generation: generation, Reason: "a test"}}})
}

func (p *peer) yield(term, generation uint64, save bool) {
	p.say(term, &ddpmv1.CoordinatorMessage{Body: &ddpmv1.CoordinatorMessage_Yield{Yield: &ddpmv1.Yield{Generation: generation, Reason: "a test", Save: save}}})
}

func (p *peer) assign(a *ddpmv1.Assignment) {
	p.say(fakeTerm, &ddpmv1.CoordinatorMessage{Body: &ddpmv1.CoordinatorMessage_Assignment{Assignment: a}})
}

// drop ends a session without a word.
func (p *peer) drop() { close(p.dropped) }
