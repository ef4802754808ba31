package allreduce

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

const testHold = time.Minute

func member(generation uint64, rank int) Member {
	return Member{Run: testRun, Generation: generation, Rank: rank, World: 3}
}

func TestGateJudgesStreams(t *testing.T) {
	other := member(7, 0)
	other.Run = NewRunTag("other", "1")
	larger := member(7, 0)
	larger.World = 4
	tests := []struct {
		name string
		from Member
		says string // empty: the stream is taken
	}{
		{"predecessor", member(7, 0), ""},
		{"other run", other, other.Run.String()},
		{"older generation", member(6, 0), "generation 6 to a worker in generation 7"},
		{"not the predecessor", member(7, 2), "rank 2 of 3 to rank 1 of 3, which waits for rank 0"},
		{"itself", member(7, 1), "waits for rank 0"},
		{"ring of another size", larger, "rank 0 of 4 to rank 1 of 3"},
		{"newer generation, never told of", member(8, 0), "generation 8 to a worker in generation 7, also 1m0s later"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newGate(testHold)
				w, err := g.announce(member(7, 1))
				if err != nil {
					t.Fatal(err)
				}
				in := newInbound(nil, tt.from)
				err = g.admit(t.Context(), tt.from, in)
				if tt.says == "" {
					if err != nil || <-w.came != in {
						t.Errorf("not taken: %v", err)
					}
					if err := g.admit(t.Context(), tt.from, in); !errors.Is(err, ErrFenced) {
						t.Errorf("taken twice: %v", err)
					}
					return
				}
				if !errors.Is(err, ErrFenced) || !strings.Contains(err.Error(), tt.says) {
					t.Errorf("says %v, want %q", err, tt.says)
				}
			})
		})
	}
}

// A neighbour that hears of a generation first is held until this worker does.
func TestGateHoldsWhatIsEarly(t *testing.T) {
	for _, before := range []uint64{0, 7} {
		synctest.Test(t, func(t *testing.T) {
			g := newGate(testHold)
			if before > 0 {
				if _, err := g.announce(member(before, 1)); err != nil {
					t.Fatal(err)
				}
			}
			in := newInbound(nil, member(8, 0))
			admitted := make(chan error, 1)
			go func() { admitted <- g.admit(t.Context(), in.from, in) }()
			time.Sleep(testHold - 1)
			synctest.Wait()
			select {
			case err := <-admitted:
				t.Fatalf("not held: %v", err)
			default:
			}
			got, err := g.accept(t.Context(), member(8, 1))
			if got != in || err != nil {
				t.Errorf("accepts %v, %v", got, err)
			}
			if err := <-admitted; err != nil {
				t.Errorf("refused: %v", err)
			}
		})
	}
}

func TestGateEndsAHeldStream(t *testing.T) {
	gone := errors.New("gone")
	for name, tt := range map[string]struct {
		end  func(g *gate, cancel context.CancelCauseFunc)
		want error
	}{
		"with the stream": {func(_ *gate, cancel context.CancelCauseFunc) { cancel(gone) }, gone},
		"with the gate":   {func(g *gate, _ context.CancelCauseFunc) { g.close(); g.close() }, errServerClosed},
		"by a generation that passes it": {func(g *gate, _ context.CancelCauseFunc) {
			if _, err := g.announce(member(9, 1)); err != nil {
				t.Error(err)
			}
		}, ErrFenced},
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			g := newGate(testHold)
			in := newInbound(nil, member(8, 0))
			admitted := make(chan error, 1)
			go func() { admitted <- g.admit(ctx, in.from, in) }()
			synctest.Wait()
			start := time.Now()
			tt.end(g, cancel)
			if err := <-admitted; !errors.Is(err, tt.want) || time.Since(start) > 0 {
				t.Errorf("%s: ends with %v after %v", name, err, time.Since(start))
			}
		})
	}
}

func TestGateEndsAnAcceptThatWaits(t *testing.T) {
	for name, tt := range map[string]struct {
		end  func(g *gate, cancel context.CancelFunc)
		want error
	}{
		"with its context": {func(_ *gate, cancel context.CancelFunc) { cancel() }, context.Canceled},
		"with the gate":    {func(g *gate, _ context.CancelFunc) { g.close() }, errServerClosed},
		"by a newer generation": {func(g *gate, _ context.CancelFunc) {
			if _, err := g.announce(member(8, 1)); err != nil {
				t.Error(err)
			}
		}, ErrFenced},
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			g := newGate(testHold)
			accepted := make(chan error, 1)
			go func() {
				_, err := g.accept(ctx, member(7, 1))
				accepted <- err
			}()
			synctest.Wait()
			tt.end(g, cancel)
			if err := <-accepted; !errors.Is(err, tt.want) {
				t.Errorf("%s: ends with %v", name, err)
			}
			// Nobody waits for it now, so a stream must not be taken.
			if err := g.admit(t.Context(), member(7, 0), newInbound(nil, member(7, 0))); !errors.Is(err, ErrFenced) {
				t.Errorf("%s: a late stream gets %v", name, err)
			}
		})
	}
}

func TestGateGoesForwardOnly(t *testing.T) {
	g := newGate(testHold)
	for _, m := range []Member{member(7, 1), member(9, 0)} {
		if _, err := g.announce(m); err != nil {
			t.Fatal(err)
		}
	}
	for _, generation := range []uint64{8, 9} {
		if _, err := g.announce(member(generation, 1)); !errors.Is(err, ErrFenced) {
			t.Errorf("generation %d after 9: %v", generation, err)
		}
	}
	other := member(1, 1)
	other.Run = NewRunTag("other", "1")
	if _, err := g.announce(other); err != nil {
		t.Errorf("another run can't begin: %v", err)
	}
}
