package coordinator

import (
	"context"
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"
	"time"
)

// leases keeps the workers' leases in etcd, beside the loop: a slow or lost etcd
// must not stall what the loop decides. One goroutine a worker, with one request
// under way, and no more of them than a lease needs, however often a worker is heard.
type leases struct {
	records records
	log     *slog.Logger
	kept    map[string]*lease // by worker
	// gone is closed when a worker's lease is, also by worker: one that comes back
	// under its name must not lose its new lease with the old one.
	gone map[string]chan struct{}
	all  sync.WaitGroup
}

// lease is one worker's.
type lease struct {
	renew chan struct{}
	// due is when it is to be renewed, in nanoseconds since 1970; 0 is at once.
	due atomic.Int64
}

func newLeases(r records, log *slog.Logger) *leases {
	return &leases{records: r, log: log, kept: map[string]*lease{}, gone: map[string]chan struct{}{}}
}

// begin stores a worker and keeps its lease until end, or until ctx ends.
func (l *leases) begin(ctx context.Context, id string, value any, ttl time.Duration) {
	kept := &lease{renew: make(chan struct{}, 1)}
	kept.renew <- struct{}{}
	l.kept[id] = kept
	maps.DeleteFunc(l.gone, func(other string, gone chan struct{}) bool { return other != id && closed(gone) })
	before, gone := l.gone[id], make(chan struct{})
	l.gone[id] = gone
	l.all.Go(func() {
		defer close(gone)
		if before != nil {
			<-before // which ends with the requests under way, that are bounded
		}
		stored, failing := false, false
		for range kept.renew {
			var err error
			if stored {
				err = l.records.KeepWorker(ctx, id)
			} else {
				err = l.records.PutWorker(ctx, id, value, ttl)
			}
			stored = err == nil // a lease that ran out meanwhile is made anew
			if err != nil && !failing && ctx.Err() == nil {
				l.log.Warn("can't renew a lease in etcd", "worker", id, "err", err)
			}
			failing = err != nil
			if stored {
				kept.due.Store(time.Now().Add(ttl / 3).UnixNano())
			} else {
				kept.due.Store(0)
			}
		}
		if err := l.records.DropWorker(ctx, id); err != nil && ctx.Err() == nil {
			l.log.Warn("can't drop a lease in etcd; it expires by itself", "worker", id, "err", err)
		}
	})
}

func closed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// heard renews a worker's lease when that is due, unless it is being done.
func (l *leases) heard(id string) {
	kept := l.kept[id]
	if kept == nil || time.Now().UnixNano() < kept.due.Load() {
		return
	}
	select {
	case kept.renew <- struct{}{}:
	default:
	}
}

// end lets a worker's lease go.
func (l *leases) end(id string) {
	if kept := l.kept[id]; kept != nil {
		delete(l.kept, id)
		close(kept.renew)
	}
}

// wait waits until all leases that were let go are gone.
func (l *leases) wait() { l.all.Wait() }
