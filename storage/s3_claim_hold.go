package storage

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// errUnclaimed says that a claim has become too old to write under.
var errUnclaimed = errors.New("the claim on the key could not be renewed in time")

// whileHeld does work under the claim, however long that takes, and renews it meanwhile.
// Where it can't, the context of the work ends.
func (c *claim) whileHeld(ctx context.Context, work func(context.Context) (Info, error)) (Info, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	var renewing sync.WaitGroup
	renewing.Go(func() { cancel(c.renew(ctx)) })
	info, err := work(ctx)
	cancel(nil)
	renewing.Wait() // or a renewal could come after the release
	// What the work says of its context is not why it ended, and reads as somebody's wish.
	if cause := context.Cause(ctx); err != nil && !errors.Is(err, ErrExists) && errors.Is(cause, errUnclaimed) {
		err = cause
	}
	return info, err
}

// renew writes the claim again and again until ctx ends, or until it could not for as long as
// may be written under one.
func (c *claim) renew(ctx context.Context) error {
	most := c.store.claimWork
	for {
		if err := pause(ctx, max(time.Until(c.written.Add(most/3)), most/20)); err != nil {
			return err
		}
		end := c.written.Add(most)
		limited, cancel := context.WithDeadline(ctx, end)
		err := c.write(limited)
		cancel()
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil && (time.Now().After(end) || !mayPass(err)):
			return fmt.Errorf("%w: %w", errUnclaimed, err)
		}
	}
}
