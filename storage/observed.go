package storage

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync/atomic"
)

// The operations that an Observer hears of. To read a range of an object is to get.
const (
	opGet         = "get"
	opPut         = "put"
	opPutIfAbsent = "put_if_absent"
	opList        = "list"
	opDelete      = "delete"
)

// Operations are the names of what is asked of a Store.
func Operations() []string { return []string{opGet, opPut, opPutIfAbsent, opList, opDelete} }

// Observer hears what an observed Store is asked, by one of Operations. Its methods are
// called concurrently.
type Observer interface {
	// Requested: an operation was begun.
	Requested(operation string)
	// Failed: one of them failed by the Store's fault, or what a get had opened could
	// not be read on. What is missing or there already, a bad key and the caller's own
	// cancelling are no such fault.
	Failed(operation string)
	// Retried: what had failed is tried again: a request by the S3 client within an
	// operation, or a whole operation by Patient.
	Retried(operation string)
}

// Observed returns the Store with an Observer that hears what it is asked, which
// includes what Patient asks when it is put round this one. Probe is for the Store
// within.
func Observed(st Store, o Observer) Store { return &observed{st, o} }

type observed struct {
	Store
	observer Observer
}

// do counts an operation, and its failed requests that the S3 client has repeated.
func (o *observed) do(ctx context.Context, operation string, op func(context.Context) error) error {
	o.observer.Requested(operation)
	failures := new(atomic.Int64)
	err := op(context.WithValue(ctx, failuresKey{}, failures))
	again := failures.Load()
	if isFault(err) {
		o.observer.Failed(operation)
		if mayPass(err) {
			again-- // the last failure is the operation's
		}
	}
	for range again {
		o.observer.Retried(operation)
	}
	return err
}

// isFault says that an operation failed by the Store's fault.
func isFault(err error) bool {
	return err != nil && !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrExists) && !errors.Is(err, context.Canceled) && !errors.As(err, new(mistake))
}

func (o *observed) Get(ctx context.Context, key string) (body io.ReadCloser, info Info, err error) {
	err = o.do(ctx, opGet, func(ctx context.Context) (err error) {
		body, info, err = o.Store.Get(ctx, key)
		return err
	})
	if err != nil {
		return nil, Info{}, err
	}
	return &observedBody{ReadCloser: body, observer: o.observer}, info, nil
}

func (o *observed) GetRange(ctx context.Context, key string, offset, length int64) (body io.ReadCloser, err error) {
	err = o.do(ctx, opGet, func(ctx context.Context) (err error) {
		body, err = o.Store.GetRange(ctx, key, offset, length)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &observedBody{ReadCloser: body, observer: o.observer}, nil
}

func (o *observed) Put(ctx context.Context, key string, r io.Reader, size int64, contentType string) (info Info, err error) {
	err = o.do(ctx, opPut, func(ctx context.Context) (err error) {
		info, err = o.Store.Put(ctx, key, r, size, contentType)
		return err
	})
	return info, err
}

func (o *observed) PutIfAbsent(ctx context.Context, key string, r io.Reader, size int64, contentType string) (info Info, err error) {
	err = o.do(ctx, opPutIfAbsent, func(ctx context.Context) (err error) {
		info, err = o.Store.PutIfAbsent(ctx, key, r, size, contentType)
		return err
	})
	return info, err
}

func (o *observed) List(ctx context.Context, prefix string) (infos []Info, err error) {
	err = o.do(ctx, opList, func(ctx context.Context) (err error) {
		infos, err = o.Store.List(ctx, prefix)
		return err
	})
	return infos, err
}

func (o *observed) Delete(ctx context.Context, key string) error {
	return o.do(ctx, opDelete, func(ctx context.Context) error { return o.Store.Delete(ctx, key) })
}

// observedBody is what a get has opened. Its first failure is told.
type observedBody struct {
	io.ReadCloser
	observer Observer
	broken   bool
}

func (b *observedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if !b.broken && !errors.Is(err, io.EOF) && isFault(err) {
		b.broken = true
		b.observer.Failed(opGet)
	}
	return n, err
}

// failuresKey is that of the *atomic.Int64, in an operation's context, which counts
// its requests that failed in a way that the S3 client repeats.
type failuresKey struct{}

// counting is a transport that tells an observed operation of its failed requests:
// minio-go repeats them without a word.
type counting struct{ *http.Transport }

func (c counting) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := c.Transport.RoundTrip(r)
	failures, ok := r.Context().Value(failuresKey{}).(*atomic.Int64)
	if ok && r.Context().Err() == nil && (err != nil || repeatable(answer.StatusCode)) {
		failures.Add(1)
	}
	return answer, err
}

// repeatable says that a server's answer may be another one the next time.
func repeatable(code int) bool {
	return code >= http.StatusInternalServerError || code == http.StatusTooManyRequests || code == http.StatusRequestTimeout
}
