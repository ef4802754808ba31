package storage

import (
	"context"
	"fmt"
	"io"
)

// Fenced returns the Store with every write and deletion preceded by check: where that
// fails, nothing is written. It goes within Patient, whose further tries it precedes too. So a
// coordinator that was cut off and replaced does not write, when it is back, what it was
// writing before; and one whose leadership is only being regained writes then.
func Fenced(st Store, check func(context.Context) error) Store { return &fenced{st, check} }

type fenced struct {
	Store
	check func(context.Context) error
}

func (f *fenced) stands(ctx context.Context, operation, key string) error {
	if err := f.check(ctx); err != nil {
		return fmt.Errorf("%s %s: it may not be written now: %w", operation, key, err)
	}
	return nil
}

func (f *fenced) Put(ctx context.Context, key string, r io.Reader, size int64, contentType string) (Info, error) {
	if err := f.stands(ctx, opPut, key); err != nil {
		return Info{}, err
	}
	return f.Store.Put(ctx, key, r, size, contentType)
}

func (f *fenced) PutIfAbsent(ctx context.Context, key string, r io.Reader, size int64, contentType string) (Info, error) {
	if err := f.stands(ctx, opPutIfAbsent, key); err != nil {
		return Info{}, err
	}
	return f.Store.PutIfAbsent(ctx, key, r, size, contentType)
}

func (f *fenced) Delete(ctx context.Context, key string) error {
	if err := f.stands(ctx, opDelete, key); err != nil {
		return err
	}
	return f.Store.Delete(ctx, key)
}
