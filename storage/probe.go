package storage

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
)

// Probe finds out at start whether a Store can be used: it writes a small hidden
// object, sees that create-only holds, reads it, lists and deletes it. Nothing
// stays of it, no directory either, whether it fails or not. The error is one line
// that says what is wrong and what to do. In a directory, Probe also removes the
// temporary files that a crash left behind.
func Probe(ctx context.Context, st Store) error {
	if l, ok := st.(*local); ok {
		defer removeEmpty(missing(l.root))
		l.sweep(ctx, time.Now().Add(-staleAfter))
	}
	err := probe(ctx, st)
	if err == nil {
		return nil
	}
	return fmt.Errorf("storage %s: %w; %s", st, err, hint(st, err))
}

// staleAfter is how long nothing must have been written to a temporary file before
// it counts as left behind.
const staleAfter = time.Hour

var errNotCreateOnly = errors.New("it let a second writer replace an object that only one may create")

func probe(ctx context.Context, st Store) error {
	key := tempPrefix + "probe-" + rand.Text()
	body := []byte("written by ddpm to see whether this place can be written; safe to delete\n")
	put := func() error {
		_, err := st.PutIfAbsent(ctx, key, bytes.NewReader(body), int64(len(body)), "text/plain")
		return err
	}
	// ErrExists here is a lost answer: nobody else knows the key.
	if err := put(); err != nil && !errors.Is(err, ErrExists) {
		return fmt.Errorf("can't write: %w", plain(err))
	}
	check := func() error {
		if err := put(); err == nil {
			return errNotCreateOnly
		} else if !errors.Is(err, ErrExists) {
			return fmt.Errorf("can't write: %w", plain(err))
		}
		got, err := readAll(ctx, st, key)
		if err != nil {
			return fmt.Errorf("can't read: %w", plain(err))
		}
		if !bytes.Equal(got, body) {
			return errors.New("it did not give back what was written")
		}
		if _, err := st.List(ctx, key); err != nil {
			return fmt.Errorf("can't list: %w", plain(err))
		}
		return nil
	}
	err := check()
	if derr := st.Delete(context.WithoutCancel(ctx), key); err == nil && derr != nil {
		err = fmt.Errorf("can't delete: %w", plain(derr))
	}
	return err
}

func readAll(ctx context.Context, st Store, key string) ([]byte, error) {
	r, _, err := st.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(r)
	return data, errors.Join(err, r.Close())
}

// plain is a Store's error without the Store, operation and key that it names.
func plain(err error) error {
	if inner := errors.Unwrap(err); inner != nil {
		return inner
	}
	return err
}

// hint says what to do about a failed probe.
func hint(st Store, err error) string {
	s, ok := st.(*s3)
	switch {
	case errors.Is(err, context.Canceled):
		return "stopped before it was known to work"
	case errors.Is(err, errNotCreateOnly) && ok:
		return "take a server that honours If-None-Match, such as a current MinIO or AWS"
	case !ok:
		return "choose another --storage or --data-dir"
	}
	var answer minio.ErrorResponse
	if !errors.As(err, &answer) {
		return "check that the endpoint is right, reachable, and speaks " + protocol(s.loc)
	}
	switch answer.Code {
	case minio.NoSuchBucket:
		return "create the bucket " + s.loc.bucket + " or choose another --storage"
	case minio.AccessDenied, minio.InvalidAccessKeyID, minio.SignatureDoesNotMatch:
		return "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and what they may do in the bucket " + s.loc.bucket
	}
	return "choose another --storage"
}

func protocol(loc location) string {
	if loc.insecure {
		return "HTTP (insecure=true is set)"
	}
	return "HTTPS (insecure=true asks for HTTP)"
}

// missing returns the folders that are not there and that writing to dir would
// make, deepest first.
func missing(dir string) []string {
	var dirs []string
	for {
		if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
			return dirs
		}
		dirs = append(dirs, dir)
		dir = filepath.Dir(dir)
	}
}

// removeEmpty removes those of the folders that are empty, deepest first.
func removeEmpty(dirs []string) {
	for _, dir := range dirs {
		if os.Remove(dir) != nil {
			return
		}
	}
}

// sweep removes temporary files that nobody has written to since before. It does
// what it can: a file that stays is hidden anyway.
func (l *local) sweep(ctx context.Context, before time.Time) {
	_ = filepath.WalkDir(l.root, func(name string, d fs.DirEntry, err error) error {
		if ctx.Err() != nil {
			return fs.SkipAll
		}
		if err != nil || d.IsDir() || !strings.HasPrefix(d.Name(), tempPrefix) {
			return nil
		}
		if st, err := d.Info(); err == nil && st.ModTime().Before(before) {
			_ = os.Remove(name)
		}
		return nil
	})
}
