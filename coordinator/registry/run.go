package registry

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// RunID returns what tells this run from others that had its name, making it the
// first time.
func (l *Leader) RunID(ctx context.Context) (string, error) {
	var id string
	if ok, err := l.get(ctx, "id", &id); err != nil || ok {
		return id, err
	}
	return l.NewRunID(ctx)
}

// NewRunID makes one anew: workers of a run that had the name before are none of this one's.
func (l *Leader) NewRunID(ctx context.Context) (string, error) {
	id := randomID()
	return id, l.put(ctx, "id", id)
}

func randomID() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// quoted is a string as put writes it.
func quoted(s string) string {
	text, _ := json.Marshal(s) // a string always has a form
	return string(text)
}

const (
	generationKey = "generation"
	// numberKey has the newest generation's number, in digits that sort as it does.
	numberKey = "generation-number"
)

// ErrSuperseded says that a newer generation is stored already.
var ErrSuperseded = errors.New("a newer generation is stored already")

// Generation reads the newest generation into value; it says whether there is
// one.
func (l *Leader) Generation(ctx context.Context, value any) (bool, error) {
	return l.get(ctx, generationKey, value)
}

// PutGeneration stores the newest generation, of that number. A request that etcd takes late
// can't replace a newer one: ErrSuperseded.
func (l *Leader) PutGeneration(ctx context.Context, number uint64, value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("write %s%s: %w", l.prefix, generationKey, err)
	}
	key := l.prefix + numberKey
	puts := []clientv3.Op{clientv3.OpPut(l.prefix+generationKey, string(text)), clientv3.OpPut(key, digits(number))}
	none := clientv3.Compare(clientv3.CreateRevision(key), "=", 0)
	older := clientv3.Compare(clientv3.Value(key), "<", digits(number+1))
	ordered := clientv3.OpTxn([]clientv3.Cmp{none}, puts, []clientv3.Op{clientv3.OpTxn([]clientv3.Cmp{older}, puts, nil)})
	r, err := l.commit(ctx, ordered)
	if err == nil {
		if t := r.Responses[0].GetResponseTxn(); !t.Succeeded && !t.Responses[0].GetResponseTxn().Succeeded {
			err = ErrSuperseded
		}
	}
	if err != nil {
		return fmt.Errorf("write %s%s: %w", l.prefix, generationKey, err)
	}
	return nil
}

func digits(n uint64) string { return fmt.Sprintf("%020d", n) }
