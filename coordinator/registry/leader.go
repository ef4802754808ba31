package registry

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	"google.golang.org/grpc/codes"
)

// ErrDeposed says that another coordinator leads the run now.
var ErrDeposed = errors.New("another coordinator leads the run")

const (
	// leaderTTL is how long, in seconds, a leader that vanished keeps others out.
	leaderTTL = 10
	// lockedTTL takes its place, in seconds, where the lock of the embedded etcd keeps
	// others out: a leader that was halted for a while goes on as if nothing had been.
	lockedTTL = 24 * 60 * 60
	// requestLimit bounds each request, so that nothing waits for a lost etcd.
	requestLimit = 5 * time.Second
	// closeLimit bounds giving up the leadership: if etcd does not hear of it, the
	// lease expires by itself.
	closeLimit = 2 * time.Second
)

// Leader is the leadership of one run, and its keys.
type Leader struct {
	client *clientv3.Client
	prefix string
	who    string

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
// now may keep it.
func Follow(ctx context.Context, e *Etcd, run, who string) (*Leader, error) {
	return lead(ctx, e, "run "+run, runPrefix(run), who, 0)
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
		client: e.client, prefix: prefix, who: who, session: session,
		election: concurrency.NewElection(session, prefix+"leader"),
		leases:   map[string]clientv3.LeaseID{},
	}
	if e.lock != nil {
		err = l.evict(ctx)
	}
	if err == nil {
		err = l.campaign(ctx, who, patience)
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

func (l *Leader) campaign(ctx context.Context, who string, patience time.Duration) error {
	if patience > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, patience)
		defer cancel()
	}
	_, election := l.tenure()
	err := election.Campaign(ctx, who)
	if !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	holder := "unknown"
	read, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestLimit)
	defer cancel()
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

// Lost is closed when the leadership can't be kept.
func (l *Leader) Lost() <-chan struct{} {
	session, _ := l.tenure()
	return session.Done()
}

// Regain takes the leadership up again after it was lost, as soon as etcd answers:
// with a new term. While another coordinator has it, Regain fails with ErrDeposed.
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
	session, err := newSession(ctx, l.client, leaderTTL)
	if err != nil {
		return err
	}
	old, _ := l.tenure()
	old.Orphan()
	// Where etcd was away, the lease may hold yet, and keep this leader out too.
	request, cancel := context.WithTimeout(ctx, requestLimit)
	defer cancel()
	if err := revoke(request, l.client, old.Lease()); err != nil {
		session.Orphan()
		return err
	}
	l.mu.Lock()
	l.session, l.election = session, concurrency.NewElection(session, l.prefix+"leader")
	l.leases = map[string]clientv3.LeaseID{} // they ran out meanwhile, or do so by themselves
	l.mu.Unlock()
	return l.campaign(ctx, l.who, (leaderTTL+2)*time.Second)
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
	ctx, cancel := context.WithTimeout(ctx, requestLimit)
	defer cancel()
	_, election := l.tenure()
	still := clientv3.Compare(clientv3.CreateRevision(election.Key()), "=", election.Rev())
	r, err := l.client.Txn(ctx).If(still).Then(ops...).Commit()
	if err != nil {
		return err
	}
	if !r.Succeeded {
		return ErrDeposed
	}
	return nil
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

// RunID returns what tells this run from others that had its name, making it the
// first time.
func (l *Leader) RunID(ctx context.Context) (string, error) {
	var id string
	if ok, err := l.get(ctx, "id", &id); err != nil || ok {
		return id, err
	}
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	id = hex.EncodeToString(b[:])
	return id, l.put(ctx, "id", id)
}

// Generation reads the newest generation into value; it says whether there is
// one.
func (l *Leader) Generation(ctx context.Context, value any) (bool, error) {
	return l.get(ctx, "generation", value)
}

// PutGeneration stores the newest generation.
func (l *Leader) PutGeneration(ctx context.Context, value any) error {
	return l.put(ctx, "generation", value)
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

// KeepWorker renews a worker's lease.
func (l *Leader) KeepWorker(ctx context.Context, id string) error {
	l.mu.Lock()
	lease, ok := l.leases[id]
	l.mu.Unlock()
	if !ok {
		return nil
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
