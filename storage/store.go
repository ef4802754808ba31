package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"
)

var (
	// ErrNotFound says that the Store has no object of that key.
	ErrNotFound = errors.New("not found")
	// ErrExists says that PutIfAbsent found an object of that key. Where an S3
	// server's answer was lost on the way, that object may be the caller's own:
	// whoever must know compares the content.
	ErrExists = errors.New("exists already")
)

// Info describes an object.
type Info struct {
	Key     string
	Size    int64     // bytes
	ModTime time.Time // zero where a server did not say
}

// Store keeps objects. All methods may be called concurrently. A key that is the
// folder of another one (a beside a/b) is not for every Store. Errors name the
// Store, the operation and the key, and wrap ErrNotFound or ErrExists where the
// method says so.
type Store interface {
	// Get opens a whole object. The caller closes the reader. ErrNotFound.
	Get(ctx context.Context, key string) (io.ReadCloser, Info, error)

	// GetRange opens the bytes [offset, offset+length) of an object, length at
	// least 1. A range that does not lie in the object is an error, at the latest
	// when it is read. The caller closes the reader. ErrNotFound.
	GetRange(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error)

	// Put writes an object, replacing what is there. r must give size bytes: fewer
	// are an error and leave the Store as it was, more are not read.
	Put(ctx context.Context, key string, r io.Reader, size int64, contentType string) (Info, error)

	// PutIfAbsent is Put, but of several writers exactly one succeeds and an object
	// that is there stays as it is. ErrExists. It is for small objects: S3 takes at
	// most 5 GiB this way.
	PutIfAbsent(ctx context.Context, key string, r io.Reader, size int64, contentType string) (Info, error)

	// List returns the objects whose keys begin with prefix (a string, not only a
	// folder), sorted by key. None is no error.
	List(ctx context.Context, prefix string) ([]Info, error)

	// Delete removes an object. One that isn't there is no error.
	Delete(ctx context.Context, key string) error

	// String says where the Store is, without secrets: what Canonical returns.
	String() string
}

// mistake is a failure that is the caller's own: it never passes.
type mistake struct{ error }

func (m mistake) Unwrap() error { return m.error }

func mistakef(format string, args ...any) error { return mistake{fmt.Errorf(format, args...)} }

// tempPrefix begins the names of what is not finished or not meant to stay.
const tempPrefix = ".ddpm-tmp-"

// maxKey is S3's limit, in bytes.
const maxKey = 1024

// checkKey refuses a key that does not name the same object everywhere, or that
// leaves the Store.
func checkKey(key string) error {
	if len(key) > maxKey {
		return mistakef("the key has %d bytes; at most %d are allowed", len(key), maxKey)
	}
	if !utf8.ValidString(key) || strings.ContainsAny(key, "\\\x00") {
		return mistakef("bad key %q: it must be UTF-8 without backslash or NUL", key)
	}
	for seg := range strings.SplitSeq(key, "/") {
		if seg == "" || seg == "." || seg == ".." {
			return mistakef("bad key %q: it must be a relative path without empty, . or .. segments", key)
		}
	}
	return nil
}

// checkPrefix refuses a prefix that no key can have. The last segment may be cut
// anywhere, and the empty prefix is that of all keys.
func checkPrefix(prefix string) error {
	if prefix == "" {
		return nil
	}
	return checkKey(prefix + "x")
}

// hidden reports whether a key is temporary.
func hidden(key string) bool {
	return strings.HasPrefix(key, tempPrefix) || strings.Contains(key, "/"+tempPrefix)
}

// sized reads the content of a Put: size bytes, or an error that is no end of file.
type sized struct {
	ctx        context.Context
	r          io.Reader
	size, left int64
}

func (s *sized) Read(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	if s.left == 0 {
		return 0, io.EOF
	}
	n, err := s.r.Read(p[:min(int64(len(p)), s.left)])
	s.left -= int64(n)
	if s.left == 0 {
		return n, nil // what else the reader says is not about the content
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = mistakef("%d bytes came of the announced %d: %w", s.size-s.left, s.size, io.ErrUnexpectedEOF)
	}
	return n, err
}
