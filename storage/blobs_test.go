package storage

import (
	"context"
	"errors"
	"io"
	"io/fs"
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
