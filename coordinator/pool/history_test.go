package pool

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
)

// Whatever becomes of workers, of the coordinator and of etcd, every job ends, each of
// its tasks was done by somebody, and the one that makes the files came last. Machines that
// can't do what they are handed change none of it, while one is there that has not tried.
func TestRandomHistories(t *testing.T) {
	for seed := range uint64(200) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { newHistory(t, seed).play() })
		})
	}
}

// history is a pool whose events are drawn.
type history struct {
	t    *testing.T
	rand *rand.Rand
	keys *fakeKeys
	s    *Server
	// leases are those that workers believe to have.
	leases []*ddpmv1.Lease
	// drawn are the tasks that somebody finished.
	drawn     map[Ref]bool
	cancelled map[string]bool
	number    uint64
	faulty    bool
}

func newHistory(t *testing.T, seed uint64) *history {
	h := &history{t: t, rand: rand.New(rand.NewPCG(seed, 1)), keys: newKeys(), drawn: map[Ref]bool{}, cancelled: map[string]bool{}}
	h.keys.fails = func() (bool, bool) { return h.faulty && h.rand.IntN(4) == 0, h.rand.IntN(2) == 0 }
	h.s = newLeader(t, h.keys)
	return h
}

func (h *history) play() {
	h.faulty = true
	for range 300 {
		h.event()
		h.check()
	}
	h.faulty = false
	h.restart() // what a failed write has left is read again
	for range 2000 {
		if h.over() {
			break
		}
		h.work()
		time.Sleep(time.Second)
		h.s.expire(h.t.Context()) // the dead are noticed
		h.check()
	}
	h.end()
}

// event does something that may happen.
func (h *history) event() {
	switch k := h.rand.IntN(20); {
	case k == 0 && h.number < 4:
		h.number++
		faulty := h.faulty
		h.faulty = false
		h.s.add(h.t, h.number, 1+h.rand.IntN(20), 1+h.rand.IntN(5))
		h.faulty = faulty
	case k == 1 && h.rand.IntN(5) == 0 && h.number > 0:
		id := fmt.Sprint("job", 1+h.rand.Uint64N(h.number))
		if _, err := (jobs{s: h.s}).CancelJob(h.t.Context(), &ddpmv1.CancelJobRequest{Id: id}); err == nil {
			h.cancelled[id] = true
		}
	case k == 2:
		h.restart()
	case k < 6:
		time.Sleep(time.Duration(h.rand.Int64N(int64(2 * DefaultLease))))
		h.s.expire(h.t.Context())
	default:
		h.work()
	}
}

// restart loses everything that is not in etcd.
func (h *history) restart() {
	s := New(Config{Store: h.s.config.Store, Build: testBuild, Log: slog.New(slog.DiscardHandler)})
	for s.load(h.t.Context(), h.keys) != nil { // etcd is away for a while
		time.Sleep(time.Second)
	}
	h.s.Close()
	h.s = s
	h.t.Cleanup(s.Close)
}

// work has a worker take a task, or do something with one that it has or had.
func (h *history) work() {
	if len(h.leases) == 0 || h.rand.IntN(3) == 0 {
		h.take()
		return
	}
	i := h.rand.IntN(len(h.leases))
	l := h.leases[i]
	var err error
	kept := false
	switch h.rand.IntN(6) {
	case 0: // it dies
	case 1:
		_, err = workers{s: h.s}.KeepTask(h.t.Context(), &ddpmv1.KeepTaskRequest{JobId: l.GetJobId(), Task: l.GetTask(), LeaseId: l.GetId(), Done: 1, Of: 2})
		kept = true
	case 2:
		h.there()
		q := &ddpmv1.ReturnTaskRequest{JobId: l.GetJobId(), Task: l.GetTask(), LeaseId: l.GetId()}
		if h.rand.IntN(2) == 0 {
			q.Reason, q.Machine = "no space left", true
		}
		_, err = workers{s: h.s}.ReturnTask(h.t.Context(), q)
	default:
		h.drawn[Ref{l.GetJobId(), int(l.GetTask())}] = true
		_, err = workers{s: h.s}.FinishTask(h.t.Context(), &ddpmv1.FinishTaskRequest{JobId: l.GetJobId(), Task: l.GetTask(), LeaseId: l.GetId()})
	}
	if c := status.Code(err); c != codes.OK && c != codes.NotFound && c != codes.Unavailable {
		h.t.Fatalf("a worker is answered %v", err)
	}
	if !kept || err != nil {
		h.leases = append(h.leases[:i], h.leases[i+1:]...)
	}
}

// there has a worker say that it is, which is busy elsewhere and refuses nothing.
func (h *history) there() {
	h.s.mu.Lock()
	defer h.s.mu.Unlock()
	h.s.queue.Seen("busy", time.Now())
}

func (h *history) take() {
	l, _, err := h.s.take(h.t.Context(), fmt.Sprint("w", h.rand.IntN(3)))
	if err != nil || l == nil {
		return
	}
	ref := Ref{l.GetJobId(), int(l.GetTask())}
	if l.GetFiles() {
		for i := range ref.Number {
			if !h.drawn[Ref{ref.Job, i}] {
				h.t.Fatalf("the files of %s are to be made, and task %d was never done", ref.Job, i)
			}
		}
	}
	h.leases = append(h.leases, l)
}

// check compares what the queue counts with what it holds.
func (h *history) check() {
	for _, e := range h.s.queue.jobs {
		done, leased := 0, 0
		for i, task := range e.tasks {
			done += count(task.Done)
			leased += count(task.Lease != "")
			if task.Done && !h.drawn[Ref{e.ID, i}] {
				h.t.Fatalf("task %d of %s is done by nobody", i, e.ID)
			}
			if task.waits() && i < e.next {
				h.t.Fatalf("task %d of %s waits, and the next is %d", i, e.ID, e.next)
			}
		}
		if done != e.done || leased != e.leased {
			h.t.Fatalf("%s counts %d done and %d leased tasks, and has %d and %d", e.ID, e.done, e.leased, done, leased)
		}
	}
}

func (h *history) over() bool {
	for _, id := range h.s.queue.All() {
		if r, _ := h.s.queue.Find(id); r.State == Open {
			return false
		}
	}
	return true
}

func (h *history) end() {
	if got := len(h.s.queue.All()); got != int(h.number) {
		h.t.Fatalf("%d jobs of %d are there", got, h.number)
	}
	for _, id := range h.s.queue.All() {
		r, _ := h.s.queue.Find(id)
		switch {
		case r.State == Open, r.State == Failed:
			h.t.Fatalf("%s is %s at the end: %s", id, r.State, r.Reason)
		case r.State == Cancelled:
			continue // also where the answer to that was lost
		case h.cancelled[id]:
			h.t.Fatalf("%s was cancelled and is %s", id, r.State)
		}
		for i := range r.tasks() + 1 {
			if !h.drawn[Ref{id, i}] {
				h.t.Fatalf("%s is done, and its task %d is not", id, i)
			}
		}
	}
	for key := range h.keys.values {
		if _, ok := parseTask(key); ok {
			h.t.Fatalf("%s is left in etcd", key)
		}
	}
}
