package storage

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"
)

// Probe finds out at start whether a Store can be used: it writes a small hidden
// object, sees that create-only holds, reads it, lists and deletes it. Nothing
// stays of it, no directory either, whether it fails or not. The error is one line
// that says what is wrong and what to do. In a directory, Probe also removes the
// temporary files, and below runs/ the empty folders, that a crash left behind: as many
// as it comes to in a short time.
//
// On a server that lets a second writer replace what only one may create, Probe
// makes PutIfAbsent claim keys by objects of its own from then on, and tells the log.
// So a Store in which create-only matters is probed before it is written.
func Probe(ctx context.Context, st Store, log *slog.Logger) error {
	return probeWithin(ctx, st, log, probeLimit, sweepLimit)
}

// probeWithin is Probe with its limits: whatever the sweep takes, the probe has its own.
func probeWithin(ctx context.Context, st Store, log *slog.Logger, limit, sweep time.Duration) error {
	if on, ok := st.(*local); ok {
		defer removeEmpty(missing(on.root))
		on.sweep(ctx, sweep)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("no answer within %v", limit))
	defer cancel()
	var err error
	probed := st
	if on, ok := st.(*s3); ok {
		probed, err = on.learn(ctx, log)
	}
	if err == nil {
		err = probe(ctx, probed)
	}
	if err == nil {
		return nil
	}
	if cause := context.Cause(ctx); errors.Is(err, context.DeadlineExceeded) && cause != nil {
		err = cause
	}
	return fmt.Errorf("storage %s: %w; %s", st, err, hint(st, err))
}

// ProbePatiently is Probe, tried again like what a Patient Store does: for whoever comes
// to a Store in the midst of others' work, when it may be down.
func ProbePatiently(ctx context.Context, st Store, limit time.Duration, log *slog.Logger) error {
	p := Patient(st, limit, log).(*patient)
	return p.again(ctx, "probe", "", func() error { return Probe(ctx, st, log) })
}

// probeLimit bounds a probe, probeTries each of its requests: a start that can't
// work ends soon. sweepLimit bounds the sweep before it, which goes over all that is there:
// nothing but the start waits for what it removes.
const (
	probeLimit = time.Minute
	probeTries = 3
	sweepLimit = 10 * time.Second
)

var errNotCreateOnly = mistakef("it let a second writer replace an object that only one may create")

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
