package main

import (
	"context"
	"io"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/ddpm-cluster/ddpm-cluster/storage"
	"github.com/ddpm-cluster/ddpm-cluster/storage/checkpoint"
)

// moving is a Store that tells what goes through it: the bytes that are read and, object
// by object, those that are written; and how many objects are deleted.
type moving struct {
	storage.Store
	moved, deleted func(n int64)
}

// Get implements storage.Store.
func (m moving) Get(ctx context.Context, key string) (io.ReadCloser, storage.Info, error) {
	body, info, err := m.Store.Get(ctx, key)
	if err != nil {
		return body, info, err
	}
	return counted{body, m.moved}, info, nil
}

// Put implements storage.Store.
func (m moving) Put(ctx context.Context, key string, r io.Reader, size int64, contentType string) (storage.Info, error) {
	info, err := m.Store.Put(ctx, key, r, size, contentType)
	if err == nil {
		m.moved(size)
	}
	return info, err
}

// Delete implements storage.Store.
func (m moving) Delete(ctx context.Context, key string) error {
	err := m.Store.Delete(ctx, key)
	if err == nil {
		m.deleted(1)
	}
	return err
}

// counted is a body that tells how much of it has been read.
type counted struct {
	io.ReadCloser
	moved func(n int64)
}

func (c counted) Read(b []byte) (int, error) {
	n, err := c.ReadCloser.Read(b)
	c.moved(int64(n))
	return n, err
}

// barEvery is how often a bar is drawn at most: a body is read in many small pieces.
const barEvery = 100 * time.Millisecond

// movingBar shows on a terminal how many of so many bytes, or objects to delete, have
// gone through the Store that it returns; elsewhere it is the Store itself. Where total
// is -1 it is not known. The caller calls end when it is done.
func movingBar(stderr io.Writer, st storage.Store, what string, total int64, objects bool) (_ storage.Store, end func()) {
	s := screenOf(stderr)
	if s == nil {
		return st, func() {}
	}
	bar := progressbar.NewOptions64(total, progressbar.OptionSetWriter(s.w), progressbar.OptionSetDescription(what),
		progressbar.OptionThrottle(barEvery), progressbar.OptionShowBytes(!objects), progressbar.OptionShowCount(), progressbar.OptionSetPredictTime(true), progressbar.OptionClearOnFinish())
	add := func(n int64) {
		s.draw(func() { _ = bar.Add64(n) }) // a bar that can't be drawn is no reason to stop
	}
	none := func(int64) {}
	m := moving{st, add, none}
	if objects {
		m.moved, m.deleted = none, add
	}
	return m, func() { s.draw(func() { _ = bar.Clear() }) }
}

// bytesOf is how much of a checkpoint's objects pass a test.
func bytesOf(m checkpoint.Manifest, wanted func(key string) bool) (n int64) {
	for _, o := range m.Objects {
		if wanted(o.Key) {
			n += o.Size
		}
	}
	return n
}
