package registry

import (
	"context"
	"fmt"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// poolPrefix begins the keys of the sampling pool. It is one for all runs.
const poolPrefix = "/ddpm/pool/"

// listPage is how many keys are read at once.
const listPage = 1000

// Pool is the leadership of the sampling pool, and its keys.
type Pool struct{ leader *Leader }

// FollowPool waits for the leadership of the sampling pool for as long as ctx lasts.
func FollowPool(ctx context.Context, e *Etcd, who string) (*Pool, error) {
	l, err := lead(ctx, e, "the sampling pool", poolPrefix, who, 0)
	if err != nil {
		return nil, err
	}
	return &Pool{l}, nil
}

// Lost is closed when the leadership can't be kept.
func (p *Pool) Lost() <-chan struct{} { return p.leader.Lost() }

// Close gives the leadership up.
func (p *Pool) Close() error { return p.leader.Close() }

// Put writes a key as JSON; ErrDeposed where another coordinator has the pool.
func (p *Pool) Put(ctx context.Context, key string, value any) error {
	return p.leader.put(ctx, key, value)
}

// Delete removes the keys that begin with a prefix; ErrDeposed as Put.
func (p *Pool) Delete(ctx context.Context, prefix string) error {
	if err := p.leader.write(ctx, clientv3.OpDelete(p.leader.prefix+prefix, clientv3.WithPrefix())); err != nil {
		return fmt.Errorf("delete %s%s: %w", p.leader.prefix, prefix, err)
	}
	return nil
}

// Each gives every key that begins with a prefix, in order, and its JSON.
func (p *Pool) Each(ctx context.Context, prefix string, do func(key string, value []byte) error) error {
	all := p.leader.prefix + prefix
	for from := all; ; {
		page, err := p.page(ctx, from, clientv3.GetPrefixRangeEnd(all))
		if err != nil {
			return fmt.Errorf("read %s: %w", all, err)
		}
		for _, kv := range page.Kvs {
			key := string(kv.Key)
			if err := do(strings.TrimPrefix(key, p.leader.prefix), kv.Value); err != nil {
				return fmt.Errorf("read %s: %w", key, err)
			}
			from = key + "\x00"
		}
		if !page.More {
			return nil
		}
	}
}

func (p *Pool) page(ctx context.Context, from, end string) (*clientv3.GetResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, requestLimit)
	defer cancel()
	return p.leader.client.Get(ctx, from, clientv3.WithRange(end), clientv3.WithLimit(listPage))
}
