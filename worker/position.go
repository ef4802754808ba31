package worker

import (
	"sync"

	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
)

// position is where a worker is. The training loop moves it, heartbeats read it.
type position struct {
	mu               sync.Mutex
	generation, step uint64
}

func (p *position) set(generation, step uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.generation, p.step = generation, step
}

func (p *position) heartbeat() *ddpmv1.Heartbeat {
	p.mu.Lock()
	defer p.mu.Unlock()
	return &ddpmv1.Heartbeat{Generation: p.generation, Step: p.step}
}
