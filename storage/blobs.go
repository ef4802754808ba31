package storage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"time"
)

// Blobs is a Store in terms of Go's own library alone, for packages that may know
// objects but no Store: whole objects are bytes, and ErrNotFound and ErrExists are
// fs.ErrNotExist and fs.ErrExist too.
type Blobs struct {
	store Store
	// patience is how long ReadRange goes on asking.
	patience time.Duration
}

// readPatience outlasts a server's restart. Whoever reads meanwhile waits: it can't
// go on without.
const readPatience = 5 * time.Minute

// AsBlobs wraps a Store.
func AsBlobs(st Store) Blobs { return Blobs{store: st, patience: readPatience} }

// OpenBlobs is Open, wrapped.
func OpenBlobs(ctx context.Context, uri string) (Blobs, error) {
	st, err := Open(ctx, uri)
	if err != nil {
		return Blobs{}, err
	}
	return AsBlobs(st), nil
}

// Probe finds out whether the Store can be used, as Probe does.
func (b Blobs) Probe(ctx context.Context, log *slog.Logger) error { return Probe(ctx, b.store, log) }

// String says where the Store is, as it does.
func (b Blobs) String() string { return b.store.String() }

// blobError makes a Store's error one of package fs, too.
func blobError(err error) error {
	switch {
	case errors.Is(err, ErrNotFound):
		return alias{err, fs.ErrNotExist}
	case errors.Is(err, ErrExists):
		return alias{err, fs.ErrExist}
	}
	return err
}

// alias is an error that is another one too, and reads as it did.
type alias struct{ err, also error }

func (a alias) Error() string   { return a.err.Error() }
func (a alias) Unwrap() []error { return []error{a.err, a.also} }

// Read returns a whole object of at most limit bytes.
func (b Blobs) Read(ctx context.Context, key string, limit int64) ([]byte, error) {
	r, info, err := b.store.Get(ctx, key)
	if err != nil {
		return nil, blobError(err)
	}
	defer r.Close()
	if info.Size > limit {
		return nil, fmt.Errorf("storage %s: get %s: it has %d bytes; at most %d are expected", b.store, key, info.Size, limit)
	}
	content, err := io.ReadAll(io.LimitReader(r, limit))
	if err != nil {
		return nil, fmt.Errorf("storage %s: get %s: %w", b.store, key, err)
	}
	return content, nil
}

// ReadRange fills p with the object's bytes from offset on. What may pass it tries
// again, for five minutes at most.
func (b Blobs) ReadRange(ctx context.Context, key string, offset int64, p []byte) error {
	end := time.Now().Add(b.patience)
	for n := 1; ; n++ {
		err := b.readRange(ctx, key, offset, p)
		if err == nil || ctx.Err() != nil || !mayPass(err) || time.Now().After(end) {
			return blobError(err)
		}
		if pause(ctx, min(time.Duration(n)*100*time.Millisecond, 2*time.Second)) != nil {
			return err
		}
	}
}

func (b Blobs) readRange(ctx context.Context, key string, offset int64, p []byte) error {
	r, err := b.store.GetRange(ctx, key, offset, int64(len(p)))
	if err != nil {
		return err
	}
	defer r.Close()
	if _, err := io.ReadFull(r, p); err != nil {
		return fmt.Errorf("storage %s: get %s: %d bytes from %d: %w", b.store, key, len(p), offset, err)
	}
	return nil
}

// Stream opens a whole object, and says its size in bytes. The caller closes it.
func (b Blobs) Stream(ctx context.Context, key string) (io.ReadCloser, int64, error) {
	r, info, err := b.store.Get(ctx, key)
	return r, info.Size, blobError(err)
}

// Write writes an object, replacing what is there.
func (b Blobs) Write(ctx context.Context, key string, content []byte, contentType string) error {
	_, err := b.store.Put(ctx, key, bytes.NewReader(content), int64(len(content)), contentType)
	return err
}

// Create writes an object that isn't there.
func (b Blobs) Create(ctx context.Context, key string, content []byte, contentType string) error {
	_, err := b.store.PutIfAbsent(ctx, key, bytes.NewReader(content), int64(len(content)), contentType)
	return blobError(err)
}

// Remove removes an object; one that isn't there is no error.
func (b Blobs) Remove(ctx context.Context, key string) error { return b.store.Delete(ctx, key) }

// Walk visits the objects whose keys begin with prefix, sorted by key, until visit
// gives an error. A size is in bytes, written in nanoseconds since 1970.
func (b Blobs) Walk(ctx context.Context, prefix string, visit func(key string, size, written int64) error) error {
	return visitAll(ctx, b.store.List, prefix, visit)
}

// WalkLinks is Walk that goes into folders that are links, too, where the Store is a
// directory as Open gives it. A link that leads nowhere, or back to a folder that it is
// in, is an error.
func (b Blobs) WalkLinks(ctx context.Context, prefix string, visit func(key string, size, written int64) error) error {
	list := b.store.List
	if l, ok := b.store.(*local); ok {
		list = l.listLinks
	}
	return visitAll(ctx, list, prefix, visit)
}

// visitAll visits what a listing gives.
func visitAll(ctx context.Context, list func(context.Context, string) ([]Info, error), prefix string, visit func(key string, size, written int64) error) error {
	objects, err := list(ctx, prefix)
	if err != nil {
		return err
	}
	for _, o := range objects {
		if err := visit(o.Key, o.Size, o.ModTime.UnixNano()); err != nil {
			return err
		}
	}
	return nil
}
