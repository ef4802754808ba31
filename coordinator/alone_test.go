package coordinator

import (
	"errors"
	"os"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
	"github.com/ddpm-cluster/ddpm-cluster/storage"
)

// standing is a worker that left the ring of generation 1 with the state that it began with.
var standing = &ddpmv1.Position{Generation: 1, HasState: true, Unreachable: -1}

// cutOff is a coordinator that has lost etcd while a change of its members waits for that, and
// has let them go.
func cutOff(t *testing.T) *led {
	t.Helper()
	x := leadFor(t, time.Nanosecond, func(*led, storage.Store) {})
	x.hear(x.worker) // its assignment
	x.etcd.fail(1 << 30)
	x.etcd.lose()
	other := x.join("another")
	x.tell(sessionEvent{from: x.worker, message: &ddpmv1.WorkerMessage{Body: &ddpmv1.WorkerMessage_Ready{Ready: &ddpmv1.Ready{Generation: 1}}}})
	if m := x.hear(x.worker); m.GetYield() == nil {
		t.Fatalf("it hears %v", m)
	}
	time.Sleep(3 * tick)
	select {
	case m := <-x.worker.out:
		t.Errorf("nothing waits for etcd, and it hears %v, and then %v", m, x.worker.refused)
	default:
	}
	x.tell(sessionEvent{from: x.worker, message: &ddpmv1.WorkerMessage{Body: &ddpmv1.WorkerMessage_Position{Position: standing}}})
	for _, s := range []*session{x.worker, other} {
		x.refused(s)
	}
	return x
}

// refused waits for a session's end, which is to send the worker elsewhere and not to end it.
func (x *led) refused(s *session) {
	x.t.Helper()
	if m := x.hear(s); m != nil || status.Code(s.refused) != codes.Unavailable {
		x.t.Errorf("it hears %v, and then %v", m, s.refused)
	}
}

// comeBack knocks until the coordinator has read in etcd where it begins again.
func (x *led) comeBack(from *ddpmv1.Resume) *session {
	x.t.Helper()
	for until := time.Now().Add(wait); ; time.Sleep(tick) {
		s := x.knock("host", from)
		if m := x.hear(s); m.GetWelcome() != nil {
			return s
		}
		if time.Now().After(until) {
			x.t.Fatalf("it takes nobody in:\n%s", x.log)
		}
	}
}

// A leader that has lost etcd for long, and needs it, keeps nobody from the coordinator that
// leads. When it leads again itself, those who come back go on from where they stood.
func TestWorkersAreLetGo(t *testing.T) {
	t.Parallel()
	x := cutOff(t)
	x.refused(x.knock("host", nil))
	x.etcd.fail(0)
	within(t, func() { x.etcd.regain <- nil })
	back := &ddpmv1.Resume{WorkerId: "w1", RunId: "run", Position: standing}
	s := x.comeBack(back)
	a := x.hear(s).GetAssignment()
	if n := a.GetGeneration().GetNumber(); n != 2 {
		t.Errorf("it is assigned generation %d", n)
	}
	x.etcd.mu.Lock()
	defer x.etcd.mu.Unlock()
	if g := x.etcd.generations; len(g) != 2 || len(g[1].Members) != 1 || g[1].Members[0].Worker != "w1" {
		t.Errorf("etcd holds %+v", g)
	}
}

// A coordinator that is alone ends when it is told, and leaves the workers to others.
func TestInterruptedAlone(t *testing.T) {
	t.Parallel()
	x := cutOff(t)
	x.interrupts <- os.Interrupt
	within(t, func() { <-x.ended })
	if !errors.Is(x.err, ErrInterrupted) {
		t.Errorf("it ends with %v", x.err)
	}
}

// A checkpoint that is complete is published as soon as this coordinator leads again, also one
// whose members nobody hears of any more.
func TestACheckpointOutlastsBeingAlone(t *testing.T) {
	t.Parallel()
	x := leadFor(t, time.Nanosecond, func(x *led, store storage.Store) {
		x.etcd.deposed.Store(true)
		x.loop.keeper.store = storage.Patient(x.loop.keeper.store, wait, x.loop.log)
		x.loop.addCheckpoint(t.Context(), t, store, 3)
	})
	x.hear(x.worker) // its assignment
	x.etcd.lose()
	x.refused(x.worker)
	x.etcd.deposed.Store(false)
	within(t, func() { x.etcd.regain <- nil })
	x.comeBack(nil)
	x.interrupts <- os.Interrupt
	x.interrupts <- os.Interrupt
	within(t, func() { <-x.ended })
	if n := x.loop.newest; n == nil || n.Step != 3 {
		t.Errorf("published when it leads again: %+v", n)
	}
}
