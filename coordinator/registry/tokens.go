package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// ErrNoToken says that there is no token of an id.
var ErrNoToken = errors.New("no such token")

// Token is what is kept of a token that lets machines in. It stays when it has
// expired: it may have to be revoked yet.
type Token struct {
	ID string `json:"id"`
	// Hash is that of package token: the secret itself is not kept.
	Hash        string    `json:"hash"`
	Description string    `json:"description,omitempty"`
	Created     time.Time `json:"created"`
	Expires     time.Time `json:"expires"`
	Revoked     bool      `json:"revoked,omitempty"`
}

// Tokens are those of one cluster.
type Tokens struct {
	client *clientv3.Client
	prefix string
}

// Tokens gives the tokens of a cluster, which is named by its certificate
// authority: one of another authority lets nobody in here, though the etcd is the
// same.
func (e *Etcd) Tokens(cluster string) *Tokens {
	return &Tokens{client: e.client, prefix: "/ddpm/clusters/" + cluster + "/tokens/"}
}

// Create keeps a new token; an id that is taken is an error.
func (t *Tokens) Create(ctx context.Context, k Token) error {
	ctx, cancel := context.WithTimeout(ctx, requestLimit)
	defer cancel()
	text, err := json.Marshal(k)
	if err != nil {
		return fmt.Errorf("keep token %s: %w", k.ID, err)
	}
	key := t.prefix + k.ID
	r, err := t.client.Txn(ctx).If(clientv3.Compare(clientv3.CreateRevision(key), "=", 0)).Then(clientv3.OpPut(key, string(text))).Commit()
	if err == nil && !r.Succeeded {
		err = errors.New("the id is taken")
	}
	if err != nil {
		return fmt.Errorf("keep token %s: %w", k.ID, err)
	}
	return nil
}

// Find returns a token; ErrNoToken where there is none.
func (t *Tokens) Find(ctx context.Context, id string) (Token, error) {
	k, _, err := t.find(ctx, id)
	return k, err
}

func (t *Tokens) find(ctx context.Context, id string) (k Token, revision int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, requestLimit)
	defer cancel()
	r, err := t.client.Get(ctx, t.prefix+id)
	if err == nil && len(r.Kvs) == 0 {
		return k, 0, ErrNoToken
	}
	if err == nil {
		revision = r.Kvs[0].ModRevision
		err = json.Unmarshal(r.Kvs[0].Value, &k)
	}
	if err != nil {
		return k, 0, fmt.Errorf("read token %s: %w", id, err)
	}
	return k, revision, nil
}

// List returns all tokens in the order of their ids.
func (t *Tokens) List(ctx context.Context) ([]Token, error) {
	ctx, cancel := context.WithTimeout(ctx, requestLimit)
	defer cancel()
	r, err := t.client.Get(ctx, t.prefix, clientv3.WithPrefix())
	if err != nil {
		return nil, fmt.Errorf("list tokens: %w", err)
	}
	list := make([]Token, len(r.Kvs))
	for i, kv := range r.Kvs {
		if err := json.Unmarshal(kv.Value, &list[i]); err != nil {
			return nil, fmt.Errorf("list tokens: %s: %w", kv.Key, err)
		}
	}
	return list, nil
}

// Revoke marks a token as revoked, for good.
func (t *Tokens) Revoke(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, requestLimit)
	defer cancel()
	for {
		k, revision, err := t.find(ctx, id)
		if err != nil {
			return err
		}
		k.Revoked = true
		text, err := json.Marshal(k)
		if err != nil {
			return fmt.Errorf("revoke token %s: %w", id, err)
		}
		key := t.prefix + id
		r, err := t.client.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(key), "=", revision)).Then(clientv3.OpPut(key, string(text))).Commit()
		if err != nil {
			return fmt.Errorf("revoke token %s: %w", id, err)
		}
		if r.Succeeded { // else somebody wrote between: once more
			return nil
		}
	}
}
