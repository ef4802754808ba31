package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// local is a Store in a directory: a key is a path below it.
type local struct {
	root string // absolute
}

func openLocal(dir string) (Store, error) {
	info, err := os.Stat(dir)
	if err == nil && !info.IsDir() {
		return nil, fmt.Errorf("storage %s: it is a file, not a directory; choose another --storage or --data-dir", dir)
	}
	return &local{root: dir}, nil
}

func (l *local) String() string { return l.root }

func (l *local) fail(op, key string, err error) error {
	return fmt.Errorf("storage %s: %s %s: %w", l.root, op, key, cause(err))
}

// start refuses a bad key or a context that is over, and returns the key's path.
func (l *local) start(ctx context.Context, key string) (string, error) {
	if err := checkKey(key); err != nil {
		return "", err
	}
	return filepath.Join(l.root, filepath.FromSlash(key)), ctx.Err()
}

func (l *local) Get(ctx context.Context, key string) (io.ReadCloser, Info, error) {
	f, info, err := l.open(ctx, key)
	if err != nil {
		return nil, Info{}, l.fail("get", key, err)
	}
	return f, info, nil
}

func (l *local) GetRange(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error) {
	if offset < 0 || length < 1 {
		return nil, l.fail("get", key, mistakef("no range: %d bytes from %d", length, offset))
	}
	f, info, err := l.open(ctx, key)
	if err != nil {
		return nil, l.fail("get", key, err)
	}
	if offset > info.Size-length {
		err = mistakef("it has %d bytes, not %d from %d", info.Size, length, offset)
		return nil, l.fail("get", key, errors.Join(err, f.Close()))
	}
	return struct {
		io.Reader
		io.Closer
	}{io.NewSectionReader(f, offset, length), f}, nil
}

// open opens a key's file. Whatever is not a regular file is not found.
func (l *local) open(ctx context.Context, key string) (*os.File, Info, error) {
	name, err := l.start(ctx, key)
	if err != nil {
		return nil, Info{}, err
	}
	f, err := os.Open(name)
	if gone(err) {
		return nil, Info{}, ErrNotFound
	}
	if err != nil {
		return nil, Info{}, err
	}
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = ErrNotFound
	}
	if err != nil {
		return nil, Info{}, errors.Join(err, f.Close())
	}
	return f, Info{Key: key, Size: st.Size(), ModTime: st.ModTime()}, nil
}

func (l *local) List(ctx context.Context, prefix string) ([]Info, error) {
	return l.list(ctx, prefix, walk)
}

// list sorts what a walk finds.
func (l *local) list(ctx context.Context, prefix string, walk walker) ([]Info, error) {
	if err := checkPrefix(prefix); err != nil {
		return nil, l.fail("list", prefix, err)
	}
	// No key outside the prefix's folder can match.
	folder := prefix[:strings.LastIndexByte(prefix, '/')+1]
	base, err := filepath.EvalSymlinks(filepath.Join(l.root, filepath.FromSlash(folder)))
	if gone(err) {
		return nil, nil
	}
	if err != nil {
		return nil, l.fail("list", prefix, err)
	}
	infos, err := walk(ctx, base, folder, prefix)
	if err != nil {
		return nil, l.fail("list", prefix, err)
	}
	slices.SortFunc(infos, func(a, b Info) int { return strings.Compare(a.Key, b.Key) })
	return infos, nil
}

// walker finds the objects with prefix below base, the directory of folder.
type walker func(ctx context.Context, base, folder, prefix string) ([]Info, error)

// walk goes into no folder that is a link: what List shows may be deleted.
func walk(ctx context.Context, base, folder, prefix string) (infos []Info, err error) {
	err = filepath.WalkDir(base, func(name string, d fs.DirEntry, err error) error {
		// What goes away during the walk was not there.
		if gone(err) {
			return nil
		}
		if err = errors.Join(err, ctx.Err()); err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(base, name)
		if err != nil {
			return err
		}
		key := folder + filepath.ToSlash(rel)
		if !strings.HasPrefix(key, prefix) || hidden(key) || checkKey(key) != nil {
			return nil
		}
		st, err := os.Stat(name)
		if err == nil && st.Mode().IsRegular() {
			infos = append(infos, Info{Key: key, Size: st.Size(), ModTime: st.ModTime()})
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	return infos, err
}

func (l *local) Delete(ctx context.Context, key string) error {
	name, err := l.start(ctx, key)
	if err != nil {
		return l.fail("delete", key, err)
	}
	st, err := os.Lstat(name)
	if gone(err) || err == nil && st.IsDir() {
		return nil
	}
	if err == nil {
		err = os.Remove(name)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return l.fail("delete", key, err)
	}
	l.prune(key)
	return nil
}

// prune removes the key's folders that are empty, as a bucket has none: all below
// the root, which stays.
func (l *local) prune(key string) {
	for dir := path.Dir(key); dir != "."; dir = path.Dir(dir) {
		if os.Remove(filepath.Join(l.root, filepath.FromSlash(dir))) != nil {
			return
		}
	}
}

// cause is the system's own words for a failure, where the operation and the
// object are named by the caller.
func cause(err error) error {
	var path *fs.PathError
	var link *os.LinkError
	switch {
	case errors.As(err, &path):
		return path.Err
	case errors.As(err, &link):
		return link.Err
	}
	return err
}

// gone says that a file is not there, or not any more.
func gone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}
