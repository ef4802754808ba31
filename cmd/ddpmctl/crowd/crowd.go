package crowd

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
)

// Access is where the coordinator is, and what lets workers in.
type Access struct{ Address, Token, CAHash string }

// Crowd are simulated workers.
type Crowd struct {
	Traffic Traffic
	access  Access
	workers []*worker
	// step is how many steps are complete; rank 0 tells of each.
	step    atomic.Uint64
	first   atomic.Pointer[worker]
	retries atomic.Int64
	every   time.Duration

	group  sync.WaitGroup
	cancel context.CancelFunc
	failed chan error

	mu sync.Mutex
	// heard counts the workers that were told of the newest generation, number, at at
	// last.
	number uint64
	heard  int
	at     time.Time
	change chan struct{}
}

// Join lets so many workers join, and returns when all have been welcomed. At most
// 128 of them are on their way in at once.
func Join(ctx context.Context, access Access, size int) (*Crowd, error) {
	ctx, cancel := context.WithCancel(ctx)
	c := &Crowd{access: access, cancel: cancel, failed: make(chan error, size), change: make(chan struct{})}
	var every atomic.Int64
	joining, joiningCtx := errgroup.WithContext(ctx)
	joining.SetLimit(128)
	c.workers = make([]*worker, size)
	for i := range size {
		w := &worker{crowd: c, number: i, asked: make(chan struct{}, 1)}
		c.workers[i] = w
		joining.Go(func() error {
			by, err := w.admit(joiningCtx)
			if err != nil {
				return fmt.Errorf("worker %d: %w", i, err)
			}
			beat, ask, err := w.join(ctx, by) // the session outlives joining
			if err != nil {
				return fmt.Errorf("worker %d: %w", i, err)
			}
			often := beat
			if ask > 0 {
				often = ask
			}
			every.Store(max(every.Load(), int64(often)))
			c.group.Go(func() { w.beat(beat) })
			c.group.Go(func() {
				if err := w.obey(); err != nil {
					c.failed <- fmt.Errorf("worker %d: %w", i, err)
				}
			})
			return nil
		})
	}
	if err := joining.Wait(); err != nil {
		c.Close()
		return nil, err
	}
	c.every = time.Duration(every.Load())
	return c, nil
}

// Heartbeat is how often the workers give signs of life.
func (c *Crowd) Heartbeat() time.Duration { return c.every }

// Retries counts the calls for a certificate that were put off.
func (c *Crowd) Retries() int64 { return c.retries.Load() }

// Train completes a step every so often until ctx ends.
func (c *Crowd) Train(ctx context.Context, every time.Duration) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		w := c.first.Load()
		if w == nil || w.dead.Load() {
			continue
		}
		step := c.step.Add(1)
		w.say(&ddpmv1.WorkerMessage{Body: &ddpmv1.WorkerMessage_Progress{Progress: &ddpmv1.Progress{
			Generation: w.generation.Load(), Step: step, Loss: 1, GradientNorm: 1, LearningRate: 1e-4,
			Images: uint32(len(c.workers)), Seconds: every.Seconds(), ComputeSeconds: every.Seconds(),
		}}})
	}
}

// told notes that a worker has its place in a generation.
func (c *Crowd) told(number uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if number > c.number {
		c.number, c.heard = number, 0
	}
	if number == c.number {
		c.heard, c.at = c.heard+1, time.Now()
	}
	close(c.change)
	c.change = make(chan struct{})
}

// Assigned waits until so many workers have their places in one generation that
// comes after number, and returns it and when the last of them was told.
func (c *Crowd) Assigned(ctx context.Context, workers int, number uint64) (uint64, time.Time, error) {
	for {
		c.mu.Lock()
		change, newest, heard, at := c.change, c.number, c.heard, c.at
		c.mu.Unlock()
		if newest > number && heard >= workers {
			return newest, at, nil
		}
		select {
		case <-change:
		case err := <-c.failed:
			return 0, at, err
		case <-ctx.Done():
			return 0, at, fmt.Errorf("%d of %d workers have been told of generation %d: %w", heard, workers, newest, context.Cause(ctx))
		}
	}
}

// Alive counts the workers that have not been killed.
func (c *Crowd) Alive() int {
	n := 0
	for _, w := range c.workers {
		if !w.dead.Load() {
			n++
		}
	}
	return n
}

// Kill lets so many workers die at once, spread over the crowd; rank 0 stays.
func (c *Crowd) Kill(n int) {
	var alive []*worker
	for _, w := range c.workers {
		if !w.dead.Load() && w != c.first.Load() {
			alive = append(alive, w)
		}
	}
	n = min(n, len(alive))
	for i := range n {
		alive[i*len(alive)/n].die()
	}
}

// Close ends all sessions.
func (c *Crowd) Close() {
	c.cancel()
	for _, w := range c.workers {
		if w.conn != nil {
			w.die()
		}
	}
	c.group.Wait()
}
