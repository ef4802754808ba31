package worker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
)

// enter brings the worker to the start of a generation: its state, and the shards
// of the first step.
func (t *trainer) enter(ctx context.Context, g *generation) error {
	defer t.idle()
	began := time.Now()
	err := t.catchUp(g)
	t.traceEnter(g, began, err)
	switch {
	case err != nil && g.ctx.Err() != nil:
		return nil // the generation is over, and the position is as it was
	case errors.As(err, new(fetchError)):
		t.idle()
		t.leave(g, departure{cause: err, broke: err.Error(), unreachable: -1})
		return nil
	case err != nil:
		return err
	}
	if ctx.Err() != nil {
		return nil
	}
	t.dealt(g)
	t.idle()
	if g.idles() {
		t.leave(g, departure{unreachable: -1})
	}
	// The checkpoints before may take their time: who asks for the position meanwhile
	// is not kept waiting.
	if g.assignment.GetGeneration().GetSaveAtStart() {
		t.saver.begin(g, t.state, t.loss(t.totals), g.idles())
	}
	return nil
}

// dealt takes in the shards of the generation's first step.
func (t *trainer) dealt(g *generation) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if g.left {
		return
	}
	kept, extra := numbers(g.self.GetKept()), numbers(g.self.GetExtra())
	held := append(slices.Clone(t.done), t.todo...)
	slices.Sort(held)
	if len(kept) == 0 || !slices.Equal(held, kept) {
		if len(kept) > 0 {
			// A coordinator that believes otherwise would wait for these shards for ever.
			extra = append(kept, extra...)
		}
		t.done, t.todo = nil, nil
	}
	if !g.idles() {
		t.todo = append(t.todo, extra...)
	}
	g.entered = true
	t.ready(g)
}

func numbers(list []uint32) []int {
	out := make([]int, len(list))
	for i, x := range list {
		out[i] = int(x)
	}
	slices.Sort(out)
	return out
}

// catchUp gives the worker the state at a generation's start. Where it fails, the
// worker stands where it stood, or without a state.
func (t *trainer) catchUp(g *generation) error {
	a := g.assignment.GetGeneration()
	if a.GetSource() == ddpmv1.StateSource_STATE_SOURCE_MEMBERS {
		switch g.self.GetLack() {
		case ddpmv1.Lack_LACK_NOTHING:
			if !t.hasState || t.step != a.GetStartStep() {
				return fmt.Errorf("generation %d starts at step %d, and this worker stands at step %d; use the same version on both sides", g.number, a.GetStartStep(), t.step)
			}
			return nil
		case ddpmv1.Lack_LACK_GRADIENT:
			return t.catchUpByGradient(g)
		case ddpmv1.Lack_LACK_STATE:
			return t.replaceState(g, func() error { return t.fetchState(g) })
		}
		return fmt.Errorf("generation %d says that this worker lacks %v, which this version does not know; use the same version on both sides", g.number, g.self.GetLack())
	}
	return t.replaceState(g, func() error { return t.run.load(g.ctx, a, t.state) })
}

// catchUpByGradient completes a step with the result that another member has.
func (t *trainer) catchUpByGradient(g *generation) error {
	if !t.hasState || t.step+1 != g.startStep() {
		return fmt.Errorf("generation %d starts at step %d, and this worker stands at step %d; use the same version on both sides", g.number, g.startStep(), t.step)
	}
	totals, err := t.fetchGradient(g)
	if err != nil {
		return err
	}
	t.moveOn(g, true)
	t.mu.Lock()
	t.busy = true
	t.mu.Unlock()
	t.saver.settle()
	info := t.update(totals)
	t.report(g, totals, info)
	t.log.Info("caught up by a step", "step", t.state.Step, "generation", g.number)
	return nil
}

// replaceState loads the state anew.
func (t *trainer) replaceState(g *generation, load func() error) error {
	t.saver.settle()
	t.mu.Lock()
	t.hasState, t.hasGradient, t.done, t.todo, t.planned = false, false, nil, nil, false
	t.mu.Unlock()
	t.stateMu.Lock()
	if t.state == nil {
		t.state = newState(t.run.spec)
	}
	t.gradientOf, t.totals, t.totalsOf = 0, tail{}, 0
	// Nobody is served from a state that is being replaced.
	t.state.Step = noStep
	t.stateMu.Unlock()
	if err := load(); err != nil {
		return err
	}
	t.stateMu.Lock()
	t.state.Step = g.startStep()
	close(t.moved)
	t.moved = make(chan struct{})
	t.stateMu.Unlock()
	t.mu.Lock()
	t.hasState, t.step = true, g.startStep()
	t.where.Step(t.step)
	t.mu.Unlock()
	return nil
}
