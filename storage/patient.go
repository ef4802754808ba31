package storage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"syscall"
	"time"

	"github.com/minio/minio-go/v7"
)

// ErrGaveUp says that a patient Store has tried again for as long as it may.
var ErrGaveUp = errors.New("given up")

// Rewinder is content that can be read again from its start.
type Rewinder interface {
	io.Reader
	// Rewind makes the next Read begin at the start.
	Rewind() error
}

// Patient returns the Store with every operation tried again, after a growing pause,
// while the place behind it fails in a way that may pass: a server that is down,
// overloaded, slow or cut off, a disk that is full. What will not pass (a missing
// object, a refusal, a bad key) fails at once. After limit the operation fails with
// ErrGaveUp and the last reason; log hears when trouble begins and ends.
//
// A Put is only tried again where its reader is a Rewinder. What Get and GetRange
// open goes on, after a connection broke, where it had come to.
func Patient(st Store, limit time.Duration, log *slog.Logger) Store {
	p := &patient{Store: st, limit: limit, first: firstPause, log: log, retried: func(string) {}}
	within := st
	if f, ok := within.(*fenced); ok {
		within = f.Store
	}
	if o, ok := within.(*observed); ok {
		p.retried = o.observer.Retried
	}
	return p
}

// The pause before a first repetition, and what the pauses grow to.
const (
	firstPause = time.Second
	mostPause  = 15 * time.Second
)

type patient struct {
	Store
	limit, first time.Duration
	log          *slog.Logger
	// retried tells who observes the Store within.
	retried func(operation string)
}

// again does op until it succeeds, fails for good, or the limit is over.
func (p *patient) again(ctx context.Context, what, key string, op func() error) error {
	began, wait := time.Now(), p.first
	for n := 1; ; n++ {
		err := op()
		switch {
		case err == nil && n > 1:
			p.log.Info("the Store works again", "operation", what, "key", key, "after", time.Since(began).Round(time.Second))
			return nil
		case err == nil || ctx.Err() != nil || !mayPass(err):
			return err
		case time.Since(began)+wait > p.limit:
			return fmt.Errorf("%w after %d tries in %v: %w", ErrGaveUp, n, time.Since(began).Round(time.Second), err)
		case n == 1:
			p.log.Warn("the Store fails; trying again", "operation", what, "key", key, "for", p.limit, "err", err)
		}
		if pause(ctx, wait/2+rand.N(wait/2+1)) != nil {
			return err
		}
		p.retried(what)
		wait = min(2*wait, mostPause)
	}
}

// mayPass says whether a failure is one that may be gone the next time.
func mayPass(err error) bool {
	var answer minio.ErrorResponse
	switch {
	case errors.Is(err, ErrNotFound), errors.Is(err, ErrExists), errors.As(err, new(mistake)), errors.Is(err, context.Canceled):
		return false
	case errors.As(err, &answer):
		return repeatable(answer.StatusCode) || answer.Code == "RequestTimeout" || answer.Code == "IncompleteBody"
	}
	for _, final := range []error{syscall.EACCES, syscall.EPERM, syscall.EROFS, syscall.ENOTDIR, syscall.EISDIR, syscall.ENAMETOOLONG} {
		if errors.Is(err, final) {
			return false
		}
	}
	return true
}

func (p *patient) Get(ctx context.Context, key string) (io.ReadCloser, Info, error) {
	r := &resumed{ctx: ctx, store: p, key: key}
	err := p.again(ctx, opGet, key, func() (err error) {
		r.body, r.info, err = p.Store.Get(ctx, key)
		return err
	})
	if err != nil {
		return nil, Info{}, err
	}
	r.left = r.info.Size
	return r, r.info, nil
}

func (p *patient) GetRange(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error) {
	r := &resumed{ctx: ctx, store: p, key: key, at: offset, left: length}
	if err := p.again(ctx, opGet, key, r.open); err != nil {
		return nil, err
	}
	return r, nil
}

func (p *patient) Put(ctx context.Context, key string, r io.Reader, size int64, contentType string) (info Info, err error) {
	again, ok := r.(Rewinder)
	if !ok {
		return p.Store.Put(ctx, key, r, size, contentType)
	}
	err = p.again(ctx, opPut, key, func() (err error) {
		if err = again.Rewind(); err == nil {
			info, err = p.Store.Put(ctx, key, r, size, contentType)
		}
		return err
	})
	return info, err
}

func (p *patient) PutIfAbsent(ctx context.Context, key string, r io.Reader, size int64, contentType string) (info Info, err error) {
	body := make([]byte, size)
	if _, err := io.ReadFull(&sized{ctx: ctx, r: r, size: size, left: size}, body); err != nil {
		return Info{}, fmt.Errorf("storage %s: put if absent %s: %w", p.Store, key, err)
	}
	err = p.again(ctx, opPutIfAbsent, key, func() (err error) {
		info, err = p.Store.PutIfAbsent(ctx, key, bytes.NewReader(body), size, contentType)
		return err
	})
	return info, err
}

func (p *patient) List(ctx context.Context, prefix string) (infos []Info, err error) {
	err = p.again(ctx, opList, prefix, func() (err error) {
		infos, err = p.Store.List(ctx, prefix)
		return err
	})
	return infos, err
}

func (p *patient) Delete(ctx context.Context, key string) error {
	return p.again(ctx, opDelete, key, func() error { return p.Store.Delete(ctx, key) })
}

// resumed is an object's content over as many connections as it takes.
type resumed struct {
	ctx      context.Context
	store    *patient
	key      string
	info     Info
	body     io.ReadCloser
	at, left int64
	// broken is why the body can't be read on; it is opened again, once more for
	// each of the breaks since the last byte.
	broken error
	breaks int
	since  time.Time
}

// open opens what is left. Where it fails the body stays, for whoever closes it.
func (r *resumed) open() error {
	body, err := r.store.Store.GetRange(r.ctx, r.key, r.at, r.left)
	if err != nil {
		return err
	}
	r.body = body
	return nil
}

func (r *resumed) Read(b []byte) (int, error) {
	for {
		if r.left == 0 {
			return 0, io.EOF
		}
		if r.broken != nil {
			if err := r.reopen(); err != nil {
				return 0, err
			}
		}
		n, err := r.body.Read(b[:min(int64(len(b)), r.left)])
		r.at, r.left = r.at+int64(n), r.left-int64(n)
		if n > 0 {
			r.breaks = 0
		}
		if err == nil || n > 0 {
			return n, nil // an error comes again
		}
		r.broken = err
	}
}

// reopen opens what is left after a break, patiently.
func (r *resumed) reopen() error {
	p := r.store
	if r.breaks++; r.breaks == 1 {
		r.since = time.Now()
	}
	switch {
	case r.ctx.Err() != nil || !mayPass(r.broken):
		return r.broken
	case time.Since(r.since) > p.limit:
		return fmt.Errorf("%w after %v: %w", ErrGaveUp, time.Since(r.since).Round(time.Second), r.broken)
	case r.breaks > 1 && pause(r.ctx, min(p.first<<min(r.breaks-2, 10), mostPause)) != nil:
		return r.broken
	}
	_ = r.body.Close() // it is broken
	r.body = io.NopCloser(bytes.NewReader(nil))
	p.retried(opGet)
	if err := p.again(r.ctx, opGet, r.key, r.open); err != nil {
		return err
	}
	r.broken = nil
	return nil
}

func (r *resumed) Close() error { return r.body.Close() }
