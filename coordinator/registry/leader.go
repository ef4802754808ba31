package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	"google.golang.org/grpc/codes"
)

// ErrDeposed says that this coordinator does not lead the run: another one does, or did since.
// errPlace is one too.
var ErrDeposed = errors.New("another coordinator leads the run")

// errPlace says that this leader's key is gone. Whether another one leads is not known: its own
// lease may just have run out.
var errPlace error = placeError{}

type placeError struct{}

func (placeError) Error() string {
	return "this coordinator does not lead now: its place in etcd is gone"
}

func (placeError) Is(target error) bool { return target == ErrDeposed }

const (
	// leaderTTL is how long, in seconds, a leader that vanished keeps others out.
	leaderTTL = 10
	// lockedTTL takes its place, in seconds, where the lock of the embedded etcd keeps
	// others out: a leader that was halted for a while goes on as if nothing had been.
	lockedTTL = 24 * 60 * 60
	// requestLimit bounds each request, so that nothing waits for a lost etcd.
	requestLimit = 5 * time.Second
	// followAgain is when a standby whose wait broke stands for the election again.
	followAgain = time.Second
	// closeLimit bounds giving up the leadership: if etcd does not hear of it, the
	// lease expires by itself.
	closeLimit = 2 * time.Second
)

// Leader is the leadership of one run, and its keys.
type Leader struct {
	client *clientv3.Client
	prefix string
	who    string
	// id is this leader's alone. The key ledKey has that of the last one.
	id string

	mu sync.Mutex
	// session and election are replaced when a lost leadership is regained.
	session  *concurrency.Session
	election *concurrency.Election
	leases   map[string]clientv3.LeaseID // by worker
}

// Lead takes the leadership of a run. While another coordinator has it, Lead
// fails, as soon as it is certain that the other has not just vanished, and names
// it by what it gave as who.
func Lead(ctx context.Context, e *Etcd, run, who string) (*Leader, error) {
	return lead(ctx, e, "run "+run, runPrefix(run), who, (leaderTTL+2)*time.Second)
}

// Follow waits for the leadership of a run for as long as ctx lasts: whoever has it
// now may keep it. It outlasts whatever becomes of its place in the queue: etcd may be away
// for longer than that is kept.
func Follow(ctx context.Context, e *Etcd, run, who string) (*Leader, error) {
	for {
		l, err := lead(ctx, e, "run "+run, runPrefix(run), who, 0)
		if err == nil || ctx.Err() != nil {
			return l, err
		}
		select {
		case <-time.After(followAgain):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func runPrefix(run string) string { return "/ddpm/runs/" + run + "/" }

// lead waits for the leadership of what, whose keys begin with prefix, as long as
// patience lasts; 0 is for ever.
func lead(ctx context.Context, e *Etcd, what, prefix, who string, patience time.Duration) (*Leader, error) {
	ttl := int64(leaderTTL)
	if e.lock != nil {
		ttl = lockedTTL
	}
	session, err := newSession(ctx, e.client, ttl)
	if err != nil {
		return nil, fmt.Errorf("lead %s: %w", what, err)
	}
	l := &Leader{
		client: e.client, prefix: prefix, who: who, id: randomID(), session: session,
		election: concurrency.NewElection(session, prefix+"leader"),
		leases:   map[string]clientv3.LeaseID{},
	}
	if e.lock != nil {
		err = l.evict(ctx)
	}
	if err == nil {
		err = campaign(ctx, session, l.election, who, patience)
	}
	if err == nil {
		err = l.put(ctx, ledKey, l.id)
	}
	if err != nil {
		return nil, fmt.Errorf("lead %s: %w", what, errors.Join(err, l.leave()))
	}
	return l, nil
}

// newSession makes a lease of ttl seconds that is kept until it is left, whatever
// becomes of ctx after this call.
func newSession(ctx context.Context, client *clientv3.Client, ttl int64) (*concurrency.Session, error) {
	request, cancel := context.WithTimeout(ctx, requestLimit)
	defer cancel()
	lease, err := client.Grant(request, ttl)
	if err != nil {
		return nil, err
	}
	return concurrency.NewSession(client, concurrency.WithLease(lease.ID), concurrency.WithContext(context.WithoutCancel(ctx)))
}

// evict removes the keys of former leaders at once. It is for the embedded etcd,
// whose lock says that none of them lives.
func (l *Leader) evict(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, requestLimit)
	defer cancel()
	_, err := l.client.Delete(ctx, l.prefix+"leader/", clientv3.WithPrefix())
	return err
}

// errLapsed ends a candidacy whose lease could not be kept: its key is gone.
var errLapsed = errors.New("the lease in etcd could not be kept")

// campaign waits until an election is won, as long as patience lasts; 0 is for ever. A
// candidate's key is there before that: nobody may write by it, nor tell its term.
func campaign(ctx context.Context, session *concurrency.Session, election *concurrency.Election, who string, patience time.Duration) error {
	if patience > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, patience)
		defer cancel()
	}
	campaigning, cancel := context.WithCancel(ctx)
	defer cancel()
	won := make(chan error, 1)
	// It may take longer than ctx, to resign where etcd does not answer; it ends with the client.
	go func() { won <- election.Campaign(campaigning, who) }()
	var err error
	select {
	case err = <-won:
	case <-session.Done():
		return errLapsed
	case <-ctx.Done():
		err = ctx.Err()
	}
	if !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	holder := "unknown"
	read, cancelRead := context.WithTimeout(context.WithoutCancel(ctx), requestLimit)
	defer cancelRead()
	if r, err := election.Leader(read); err == nil && len(r.Kvs) > 0 {
		holder = string(r.Kvs[0].Value)
	}
	return fmt.Errorf("%w: %s; stop that one first, or choose another --run", ErrDeposed, holder)
}

// Term is the leadership's fencing number: higher for each later leader.
func (l *Leader) Term() uint64 {
	_, election := l.tenure()
	return uint64(election.Rev())
}

// tenure is what the leadership rests on now.
func (l *Leader) tenure() (*concurrency.Session, *concurrency.Election) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.session, l.election
}

// Check fails unless this leader still leads.
func (l *Leader) Check(ctx context.Context) error { return l.write(ctx) }

// Close gives the leadership up, and with it its key. A leadership that is lost
// already has nothing to give.
func (l *Leader) Close() error {
	select {
	case <-l.Lost():
		return nil
	default:
	}
	if err := l.leave(); err != nil {
		return fmt.Errorf("give up %sleader, which is free again in %d s: %w", l.prefix, leaderTTL, err)
	}
	return nil
}

// leave revokes the session's lease; keys under it go with it.
func (l *Leader) leave() error {
	session, _ := l.tenure()
	session.Orphan()
	ctx, cancel := context.WithTimeout(context.Background(), closeLimit)
	defer cancel()
	return revoke(ctx, l.client, session.Lease())
}

// revoke ends a lease. One that has expired is no failure.
func revoke(ctx context.Context, client *clientv3.Client, lease clientv3.LeaseID) error {
	_, err := client.Revoke(ctx, lease)
	if coded := (interface{ Code() codes.Code })(nil); errors.As(err, &coded) && coded.Code() == codes.NotFound {
		return nil
	}
	return err
}

// write does the operations if this leader still leads.
func (l *Leader) write(ctx context.Context, ops ...clientv3.Op) error {
	_, err := l.commit(ctx, ops...)
	return err
}

// commit does as write, and gives etcd's answer.
func (l *Leader) commit(ctx context.Context, ops ...clientv3.Op) (*clientv3.TxnResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, requestLimit)
	defer cancel()
	_, election := l.tenure()
	r, err := l.client.Txn(ctx).If(leads(election)).Then(ops...).Commit()
	if err == nil && !r.Succeeded {
		err = errPlace
	}
	return r, err
}

// leads is the condition that an election is won, and not lost since.
func leads(e *concurrency.Election) clientv3.Cmp {
	return clientv3.Compare(clientv3.CreateRevision(e.Key()), "=", e.Rev())
}

func (l *Leader) put(ctx context.Context, key string, value any, opts ...clientv3.OpOption) error {
	text, err := json.Marshal(value)
	if err == nil {
		err = l.write(ctx, clientv3.OpPut(l.prefix+key, string(text), opts...))
	}
	if err != nil {
		return fmt.Errorf("write %s%s: %w", l.prefix, key, err)
	}
	return nil
}

// get reads a key into value; it says whether the key is there.
func (l *Leader) get(ctx context.Context, key string, value any) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, requestLimit)
	defer cancel()
	r, err := l.client.Get(ctx, l.prefix+key)
	if err == nil && len(r.Kvs) == 0 {
		return false, nil
	}
	if err == nil {
		err = json.Unmarshal(r.Kvs[0].Value, value)
	}
	if err != nil {
		return false, fmt.Errorf("read %s%s: %w", l.prefix, key, err)
	}
	return true, nil
}

// PutWorker stores an admitted worker under a lease of the given length.
func (l *Leader) PutWorker(ctx context.Context, id string, value any, ttl time.Duration) error {
	grant, cancel := context.WithTimeout(ctx, requestLimit)
	defer cancel()
	lease, err := l.client.Grant(grant, max(1, int64(ttl/time.Second)))
	if err != nil {
		return fmt.Errorf("lease for worker %s: %w", id, err)
	}
	l.mu.Lock()
	l.leases[id] = lease.ID
	l.mu.Unlock()
	return l.put(ctx, "workers/"+id, value, clientv3.WithLease(lease.ID))
}

// KeepWorker renews a worker's lease. It fails where the worker is to be stored anew: what was
// stored in a leadership that was lost since runs out.
func (l *Leader) KeepWorker(ctx context.Context, id string) error {
	l.mu.Lock()
	lease, ok := l.leases[id]
	l.mu.Unlock()
	if !ok {
		return fmt.Errorf("renew the lease of worker %s: it has none in this leadership", id)
	}
	ctx, cancel := context.WithTimeout(ctx, requestLimit)
	defer cancel()
	if _, err := l.client.KeepAliveOnce(ctx, lease); err != nil {
		return fmt.Errorf("renew the lease of worker %s: %w", id, err)
	}
	return nil
}

// DropWorker takes a worker out.
func (l *Leader) DropWorker(ctx context.Context, id string) error {
	l.mu.Lock()
	lease, ok := l.leases[id]
	delete(l.leases, id)
	l.mu.Unlock()
	if !ok {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, requestLimit)
	defer cancel()
	if err := revoke(ctx, l.client, lease); err != nil {
		return fmt.Errorf("revoke the lease of worker %s: %w", id, err)
	}
	return nil
}
