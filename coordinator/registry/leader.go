package registry

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
)

// ErrDeposed says that another coordinator leads the run now.
var ErrDeposed = errors.New("another coordinator leads the run")

// leaderTTL is how long, in seconds, a leader that vanished keeps others out.
const leaderTTL = 10

// requestLimit bounds each request, so that nothing waits for a lost etcd.
const requestLimit = 10 * time.Second

// Leader is the leadership of one run, and its keys.
type Leader struct {
	client   *clientv3.Client
	prefix   string
	session  *concurrency.Session
	election *concurrency.Election

	mu     sync.Mutex
	leases map[string]clientv3.LeaseID // by worker
}

// Lead takes the leadership of a run. While another coordinator has it, Lead
// fails at once: who names it shows.
func Lead(ctx context.Context, e *Etcd, run, who string) (*Leader, error) {
	prefix := "/ddpm/runs/" + run + "/"
	session, err := concurrency.NewSession(e.client, concurrency.WithTTL(leaderTTL), concurrency.WithContext(ctx))
	if err != nil {
		return nil, fmt.Errorf("lead run %s: %w", run, err)
	}
	l := &Leader{
		client: e.client, prefix: prefix, session: session,
		election: concurrency.NewElection(session, prefix+"leader"),
		leases:   map[string]clientv3.LeaseID{},
	}
	if err := l.campaign(ctx, who); err != nil {
		return nil, fmt.Errorf("lead run %s: %w", run, errors.Join(err, session.Close()))
	}
	return l, nil
}

// campaign waits no longer than a vanished leader's lease lasts.
func (l *Leader) campaign(ctx context.Context, who string) error {
	ctx, cancel := context.WithTimeout(ctx, (leaderTTL+2)*time.Second)
	defer cancel()
	err := l.election.Campaign(ctx, who)
	if !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	holder := "unknown"
	read, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestLimit)
	defer cancel()
	if r, err := l.election.Leader(read); err == nil && len(r.Kvs) > 0 {
		holder = string(r.Kvs[0].Value)
	}
	return fmt.Errorf("%w: %s; stop that one first, or choose another --run", ErrDeposed, holder)
}

// Term is the leadership's fencing number: higher for each later leader.
func (l *Leader) Term() uint64 { return uint64(l.election.Rev()) }

// Lost is closed when the leadership can't be kept.
func (l *Leader) Lost() <-chan struct{} { return l.session.Done() }

// Close gives the leadership up.
func (l *Leader) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), requestLimit)
	defer cancel()
	err := l.election.Resign(ctx)
	return errors.Join(err, l.session.Close())
}

// write does the operations if this leader still leads.
func (l *Leader) write(ctx context.Context, ops ...clientv3.Op) error {
	ctx, cancel := context.WithTimeout(ctx, requestLimit)
	defer cancel()
	still := clientv3.Compare(clientv3.CreateRevision(l.election.Key()), "=", l.election.Rev())
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

// PutStatus stores what the run is doing.
func (l *Leader) PutStatus(ctx context.Context, value any) error { return l.put(ctx, "status", value) }

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
	if _, err := l.client.Revoke(ctx, lease); err != nil {
		return fmt.Errorf("revoke the lease of worker %s: %w", id, err)
	}
	return nil
}

// Workers lists the ids of the workers whose leases hold.
func (l *Leader) Workers(ctx context.Context) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, requestLimit)
	defer cancel()
	prefix := l.prefix + "workers/"
	r, err := l.client.Get(ctx, prefix, clientv3.WithPrefix(), clientv3.WithKeysOnly())
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", prefix, err)
	}
	ids := make([]string, len(r.Kvs))
	for i, kv := range r.Kvs {
		ids[i] = strings.TrimPrefix(string(kv.Key), prefix)
	}
	return ids, nil
}
