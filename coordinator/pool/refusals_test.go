package pool

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
)

const unseen = "this machine can't read the images"

// take gives the job that a worker is handed a task of, and the lease; "" for none.
func take(t *testing.T, s *Server, worker string) (string, *ddpmv1.Lease) {
	t.Helper()
	l, _, err := s.take(t.Context(), worker)
	if err != nil {
		t.Fatal(err)
	}
	return l.GetJobId(), l
}

// refuse gives a task back as one that the worker's machine can't do.
func refuse(t *testing.T, s *Server, l *ddpmv1.Lease) {
	t.Helper()
	q := &ddpmv1.ReturnTaskRequest{JobId: l.GetJobId(), Task: l.GetTask(), LeaseId: l.GetId(), Reason: unseen, Machine: true}
	if _, err := (workers{s: s}).ReturnTask(t.Context(), q); err != nil {
		t.Fatal(err)
	}
}

// refuses has a worker refuse what it is handed of a job, and checks that there is some.
func refuses(t *testing.T, s *Server, worker, id string) {
	t.Helper()
	got, l := take(t, s, worker)
	if got != id {
		t.Fatalf("%s is handed a task of %q, want %s", worker, got, id)
	}
	refuse(t, s, l)
}

// state checks a job's.
func state(t *testing.T, s *Server, id string, want State) {
	t.Helper()
	if r, _ := s.queue.Find(id); r.State != want || want == Failed && !strings.Contains(r.Reason, unseen) {
		t.Fatalf("%s is %s (%s), want %s", id, r.State, r.Reason, want)
	}
}

// What one machine can't do is for others, and it gets what is behind; after a while it is
// asked again.
func TestARefusedTaskIsForOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newLeader(t, newKeys())
		first, second := s.add(t, 1, 4, 1), s.add(t, 2, 4, 1)
		refuses(t, s, "bad", first)
		for _, c := range []struct{ worker, want string }{{"bad", second}, {"good", first}, {"bad", second}} {
			if got, _ := take(t, s, c.worker); got != c.want {
				t.Errorf("%s is handed a task of %q, want %s", c.worker, got, c.want)
			}
		}
		time.Sleep(refusedFor)
		refuses(t, s, "bad", first)
		state(t, s, first, Open)
	})
}

// A worker that waits for a task is handed again what it refused, when its time has come.
func TestARefusalPasses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newLeader(t, newKeys())
		id := s.add(t, 1, 1, 1)
		refuses(t, s, "w", id)
		began := time.Now()
		for {
			r, err := workers{s: s}.TakeTask(t.Context(), &ddpmv1.TakeTaskRequest{Worker: "w", Build: testBuild})
			if err != nil {
				t.Fatal(err)
			}
			if r.GetLease() != nil {
				break
			}
		}
		if took := time.Since(began); took != refusedFor {
			t.Errorf("it is handed the task after %v, want %v", took, refusedFor)
		}
	})
}

// A job that nobody can do fails with the reason of the last, those behind it go on.
func TestAJobThatNobodyCanDoFails(t *testing.T) {
	for n := 1; n <= maxFailures+1; n++ {
		t.Run(fmt.Sprint(n, " workers"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newLeader(t, newKeys())
				id, behind := s.add(t, 1, 4, 1), s.add(t, 2, 4, 1)
				want := patience
				if n >= maxFailures {
					want = refusedFor
				}
				for began := time.Now(); time.Since(began) <= want; time.Sleep(refusedFor) {
					state(t, s, id, Open)
					for i := range n {
						if got, l := take(t, s, fmt.Sprint("w", i)); got == id {
							refuse(t, s, l)
						}
					}
				}
				state(t, s, id, Failed)
				if got, _ := take(t, s, "w0"); got != behind {
					t.Errorf("then comes %q, want %s", got, behind)
				}
			})
		})
	}
}

// Machines that can't do a job fail it for none of those that can: not while these are busy
// with another one, nor by new names, nor when they come late.
func TestBadMachinesAmongGoodOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newLeader(t, newKeys())
		long := s.add(t, 1, 1, 1)
		if got, _ := take(t, s, "before"); got != long {
			t.Fatal(got)
		}
		finish(t, s, long, 0)
		_, busy := take(t, s, "good") // its files
		id := s.add(t, 2, 4, 1)
		for began, names := time.Now(), 0; time.Since(began) < 5*patience; time.Sleep(time.Second) {
			if err := keep(t, s, busy); err != nil {
				t.Fatal(err)
			}
			for i := range 2 * maxFailures {
				name := fmt.Sprint("bad", i)
				if i == 0 { // it ends each time, and starts again
					names++
					name = fmt.Sprint("new", names)
				}
				if got, l := take(t, s, name); got == id {
					refuse(t, s, l)
				}
			}
		}
		state(t, s, id, Open)
		finish(t, s, long, 1)
		if got, _ := take(t, s, "good"); got != id {
			t.Errorf("the good one is handed %q, want %s", got, id)
		}
	})
}

// A worker that joins while the others have tried gets its chance.
func TestALateWorkerGetsItsChance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newLeader(t, newKeys())
		id := s.add(t, 1, 2, 1)
		for range maxFailures {
			refuses(t, s, "bad", id)
			time.Sleep(refusedFor)
		}
		state(t, s, id, Open)
		_, l := take(t, s, "late")
		refuses(t, s, "bad", id)
		state(t, s, id, Open)
		finish(t, s, l.GetJobId(), int(l.GetTask()))
		// Now that a task was done, what was refused before counts no more.
		time.Sleep(thereFor + time.Second)
		refuses(t, s, "bad", id)
		state(t, s, id, Open)
	})
}

// A worker that has gone is not waited for.
func TestAWorkerThatHasGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newLeader(t, newKeys())
		id := s.add(t, 1, 2, 1)
		_, l := take(t, s, "gone")
		if _, err := (workers{s: s}).ReturnTask(t.Context(), &ddpmv1.ReturnTaskRequest{JobId: id, LeaseId: l.GetId()}); err != nil {
			t.Fatal(err)
		}
		for began := time.Now(); time.Since(began) <= patience; time.Sleep(refusedFor) {
			state(t, s, id, Open)
			refuses(t, s, "bad", id)
		}
		state(t, s, id, Failed)
	})
}

// A worker that could not do a job once, and now has a task of it, may well be doing it.
func TestAWorkerThatTriesAgainIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newLeader(t, newKeys())
		id := s.add(t, 1, 4, 1)
		refuses(t, s, "slow", id)
		time.Sleep(refusedFor)
		_, l := take(t, s, "slow")
		for range 2 * patience / refusedFor {
			refuses(t, s, "bad", id)
			time.Sleep(refusedFor)
			if err := keep(t, s, l); err != nil {
				t.Fatal(err)
			}
		}
		state(t, s, id, Open)
		refuses(t, s, "bad", id)
		refuse(t, s, l)
		state(t, s, id, Failed)
	})
}

// Workers that try so long that one always has a task end the job too.
func TestWorkersThatFailInTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newLeader(t, newKeys())
		id := s.add(t, 1, 4, 1)
		_, l := take(t, s, "a")
		for n := range 6 * maxFailures {
			time.Sleep(refusedFor)
			_, next := take(t, s, []string{"b", "a"}[n%2])
			if refuse(t, s, l); next == nil {
				t.Fatal("nobody has the next task")
			}
			l = next
			if r, _ := s.queue.Find(id); r.State != Open {
				break
			}
		}
		state(t, s, id, Failed)
	})
}

// Who could not do what is told anew to a coordinator that comes after another.
func TestRefusalsAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keys := newKeys()
		s := newLeader(t, keys)
		id := s.add(t, 1, 2, 1)
		refuses(t, s, "bad", id)
		time.Sleep(patience)
		s = newLeader(t, keys)
		refuses(t, s, "bad", id)
		state(t, s, id, Open)
		if got, _ := take(t, s, "good"); got != id {
			t.Errorf("the good one is handed %q, want %s", got, id)
		}
	})
}
