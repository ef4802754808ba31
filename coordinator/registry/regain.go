package registry

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
)

// ledKey names, by its id, the leader that was the last one to lead. One that has lost the
// leadership goes on as if nothing had been only where nobody has decided anything since.
const ledKey = "led"

// Lost is closed when the leadership can't be kept.
func (l *Leader) Lost() <-chan struct{} {
	session, _ := l.tenure()
	return session.Done()
}

// Regain takes the leadership up again after it was lost, as soon as etcd answers: with a
// new term. While another coordinator has it, or where another one has had it since,
// Regain fails with ErrDeposed. Until it succeeds this leader is none: Check and all that
// writes fail, and Term is the old one.
func (l *Leader) Regain(ctx context.Context) error {
	const between = time.Second
	for {
		err := l.regain(ctx)
		if err == nil || errors.Is(err, ErrDeposed) || ctx.Err() != nil {
			return err
		}
		select {
		case <-time.After(between):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (l *Leader) regain(ctx context.Context) error {
	if err := l.unfollowed(ctx); err != nil {
		return err
	}
	session, err := newSession(ctx, l.client, leaderTTL)
	if err != nil {
		return err
	}
	old, _ := l.tenure()
	old.Orphan()
	election := concurrency.NewElection(session, l.prefix+"leader")
	// Where etcd was away, the lease may hold yet, and keep this leader out too.
	if err = l.release(ctx, old); err == nil {
		err = l.stand(ctx, session, election)
	}
	if err == nil {
		err = l.undisturbed(ctx, election)
	}
	if err != nil {
		session.Orphan()
		return errors.Join(err, l.release(context.WithoutCancel(ctx), session))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.session, l.election = session, election
	l.leases = map[string]clientv3.LeaseID{} // they ran out meanwhile, or do so by themselves
	return nil
}

// stand campaigns for the leadership until another coordinator has it: what that one decides, and
// the workers that it waits for, wait for no candidacy.
func (l *Leader) stand(ctx context.Context, session *concurrency.Session, election *concurrency.Election) error {
	const between = time.Second
	ctx, cancel := context.WithCancelCause(ctx)
	var watch sync.WaitGroup
	watch.Go(func() {
		ticker := time.NewTicker(between)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				if err := l.unfollowed(ctx); errors.Is(err, ErrDeposed) {
					cancel(err)
				}
			case <-ctx.Done():
				return
			}
		}
	})
	err := campaign(ctx, session, election, l.who, (leaderTTL+2)*time.Second)
	cancel(nil)
	watch.Wait()
	if cause := context.Cause(ctx); errors.Is(cause, ErrDeposed) {
		return cause
	}
	return err
}

func (l *Leader) release(ctx context.Context, s *concurrency.Session) error {
	ctx, cancel := context.WithTimeout(ctx, requestLimit)
	defer cancel()
	return revoke(ctx, l.client, s.Lease())
}

// undisturbed fails where another coordinator has led since this one did.
func (l *Leader) undisturbed(ctx context.Context, e *concurrency.Election) error {
	ctx, cancel := context.WithTimeout(ctx, requestLimit)
	defer cancel()
	r, err := l.client.Txn(ctx).If(leads(e), clientv3.Compare(clientv3.Value(l.prefix+ledKey), "=", quoted(l.id))).Commit()
	if err == nil && !r.Succeeded {
		err = l.deposed(ctx)
	}
	return err
}

// unfollowed fails with ErrDeposed where another coordinator has led since this one did.
func (l *Leader) unfollowed(ctx context.Context) error {
	var last string
	led, err := l.get(ctx, ledKey, &last)
	if err == nil && led && last != l.id {
		err = l.deposed(ctx)
	}
	return err
}

// deposed names whoever leads now, as far as etcd tells.
func (l *Leader) deposed(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, requestLimit)
	defer cancel()
	holder := "nobody now"
	_, election := l.tenure()
	if r, err := election.Leader(ctx); err == nil && len(r.Kvs) > 0 {
		holder = string(r.Kvs[0].Value)
	} else if err != nil && !errors.Is(err, concurrency.ErrElectionNoLeader) {
		holder = "unknown"
	}
	return fmt.Errorf("%w, or has led it meanwhile (the leader: %s); start this one again, and it takes up what that one decided", ErrDeposed, holder)
}
