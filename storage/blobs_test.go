package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestBlobsSpeakOfFiles(t *testing.T) {
	for name, create := range stores(t) {
		t.Run(name, func(t *testing.T) {
			b, ctx := AsBlobs(create(t)), t.Context()
			if _, err := b.Read(ctx, "a/b", 10); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("reading nothing is %v, want fs.ErrNotExist", err)
			}
			if err := b.ReadRange(ctx, "a/b", 0, []byte{0}); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("reading a range of nothing is %v, want fs.ErrNotExist", err)
			}
			if err := b.Create(ctx, "a/b", []byte("content"), "text/plain"); err != nil {
				t.Fatal(err)
			}
			if err := b.Create(ctx, "a/b", []byte("other"), "text/plain"); !errors.Is(err, fs.ErrExist) {
				t.Errorf("creating it twice is %v, want fs.ErrExist", err)
			}
			if err := b.Write(ctx, "a/c", nil, "text/plain"); err != nil {
				t.Fatal(err)
			}
			if got, err := b.Read(ctx, "a/b", 7); err != nil || string(got) != "content" {
				t.Errorf("read %q, %v", got, err)
			}
			if _, err := b.Read(ctx, "a/b", 6); err == nil {
				t.Error("an object above the limit was read")
			}
			part := []byte("????")
			if err := b.ReadRange(ctx, "a/b", 3, part); err != nil || string(part) != "tent" {
				t.Errorf("read %q, %v", part, err)
			}
			var seen []string
			err := b.Walk(ctx, "a/", func(key string, size, written int64) error {
				seen = append(seen, key)
				if key == "a/b" && (size != 7 || written <= 0) {
					t.Errorf("%s has %d bytes, written at %d", key, size, written)
				}
				return nil
			})
			if err != nil || len(seen) != 2 || seen[0] != "a/b" {
				t.Errorf("walked %v, %v", seen, err)
			}
		})
	}
}

// flaky fails so many reads, half of them midway.
type flaky struct {
	Store
	fails int
}

func (f *flaky) GetRange(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error) {
	f.fails--
	switch {
	case f.fails < 0:
		return f.Store.GetRange(ctx, key, offset, length)
	case f.fails%2 == 0:
		return f.Store.GetRange(ctx, key, offset, length-1)
	}
	return nil, errors.New("away")
}

func TestBlobsReadAgain(t *testing.T) {
	st := open(t, t.TempDir())
	put(t, st, "k", "content")
	b := Blobs{store: &flaky{Store: st, fails: 3}, patience: time.Minute}
	part := make([]byte, 7)
	if err := b.ReadRange(t.Context(), "k", 0, part); err != nil || string(part) != "content" {
		t.Errorf("read %q, %v", part, err)
	}
	b = Blobs{store: &flaky{Store: st, fails: 9}}
	if err := b.ReadRange(t.Context(), "k", 0, part); err == nil {
		t.Error("the patience has no end")
	}
}

// What can't pass is asked for once.
func TestBlobsReadNothingInVain(t *testing.T) {
	fake := startFakeS3(t)
	bucket := open(t, "s3://bucket?insecure=true&region=us-east-1&endpoint="+fake.address)
	put(t, bucket, "k", "content")
	put(t, bucket, "secret", "content")
	fake.answer = func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, "secret") {
			return false
		}
		s3Error(w, http.StatusForbidden, "AccessDenied")
		return true
	}
	dir := open(t, t.TempDir())
	put(t, dir, "k", "content")
	sealed := failing{dir, fmt.Errorf("storage: get k: %w", syscall.EACCES)}
	for name, v := range map[string]struct {
		st   Store
		key  string
		from int64
		size int
	}{
		"a short object":            {dir, "k", 0, 8},
		"a short object of S3":      {bucket, "k", 0, 8},
		"beyond the end, of S3":     {bucket, "k", 800, 7},
		"refused by S3":             {bucket, "secret", 0, 7},
		"refused by the system":     {sealed, "k", 0, 7},
		"a bad key":                 {dir, "../k", 0, 7},
		"a bad key of S3":           {bucket, "a//b", 0, 7},
		"none":                      {dir, "none", 0, 7},
		"none of S3":                {bucket, "none", 0, 7},
		"a bucket that isn't there": {open(t, "s3://other?insecure=true&region=us-east-1&endpoint="+fake.address), "k", 0, 7},
	} {
		counted := &counted{Store: v.st}
		b := Blobs{store: counted, patience: time.Second}
		if err := b.ReadRange(t.Context(), v.key, v.from, make([]byte, v.size)); err == nil || counted.reads != 1 {
			t.Errorf("%s: %v after %d reads", name, err, counted.reads)
		}
	}
}

// failing is a Store of which no range can be read.
type failing struct {
	Store
	err error
}

func (f failing) GetRange(context.Context, string, int64, int64) (io.ReadCloser, error) {
	return nil, f.err
}

// counted counts the reads.
type counted struct {
	Store
	reads int
}

func (c *counted) GetRange(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error) {
	c.reads++
	return c.Store.GetRange(ctx, key, offset, length)
}
