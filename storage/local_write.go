package storage

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

func (l *local) Put(ctx context.Context, key string, r io.Reader, size int64, _ string) (Info, error) {
	info, err := l.write(ctx, key, r, size, os.Rename)
	if err != nil {
		return Info{}, l.fail("put", key, err)
	}
	return info, nil
}

func (l *local) PutIfAbsent(ctx context.Context, key string, r io.Reader, size int64, _ string) (Info, error) {
	info, err := l.write(ctx, key, r, size, func(temp, name string) error {
		// A link, unlike a rename, fails where the name is taken.
		err := os.Link(temp, name)
		if errors.Is(err, fs.ErrExist) {
			return ErrExists
		}
		if err != nil {
			return fmt.Errorf("can't link, which create-only needs: %w", cause(err))
		}
		_ = os.Remove(temp) // hidden, and swept one day
		return nil
	})
	if err != nil {
		return Info{}, l.fail("put if absent", key, err)
	}
	return info, nil
}

// write writes a temporary file beside the key's, on disk before publish gives it
// its name. Of a write that fails nothing stays.
func (l *local) write(ctx context.Context, key string, r io.Reader, size int64, publish func(temp, name string) error) (_ Info, err error) {
	name, err := l.start(ctx, key)
	if err != nil {
		return Info{}, err
	}
	dir := filepath.Dir(name)
	f, err := createTemp(dir)
	defer func() {
		if err != nil {
			l.prune(key)
		}
	}()
	if err != nil {
		return Info{}, err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name()) // may be published already; the first error counts
		}
	}()
	st, err := fill(ctx, f, r, size)
	if err != nil {
		return Info{}, err
	}
	if err := publish(f.Name(), name); err != nil {
		return Info{}, err
	}
	if err := syncDir(dir); err != nil {
		return Info{}, err
	}
	return Info{Key: key, Size: size, ModTime: st.ModTime()}, nil
}

// fill copies size bytes to a file, sees them on disk, and closes it.
func fill(ctx context.Context, f *os.File, r io.Reader, size int64) (fs.FileInfo, error) {
	_, err := io.Copy(f, &sized{ctx: ctx, r: r, size: size, left: size})
	if err == nil {
		err = f.Sync()
	}
	var st fs.FileInfo
	if err == nil {
		st, err = f.Stat()
	}
	return st, errors.Join(err, f.Close())
}

// createTemp makes a temporary file in dir, and dir. A Delete beside it may remove
// the folder while it is still empty, so it tries again.
func createTemp(dir string) (*os.File, error) {
	const attempts = 20
	for n := 1; ; n++ {
		err := makeDirs(dir)
		if err == nil {
			var f *os.File
			f, err = os.OpenFile(filepath.Join(dir, tempPrefix+rand.Text()), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
			if err == nil {
				return f, nil
			}
		}
		if !errors.Is(err, fs.ErrNotExist) || n == attempts {
			return nil, err
		}
	}
}

// makeDirs is os.MkdirAll that survives a power cut: each new folder's name is on
// disk before it returns.
func makeDirs(dir string) error {
	st, err := os.Stat(dir)
	if err == nil && !st.IsDir() {
		return &fs.PathError{Op: "mkdir", Path: dir, Err: syscall.ENOTDIR}
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	parent := filepath.Dir(dir)
	if err := makeDirs(parent); err != nil {
		return err
	}
	err = os.Mkdir(dir, 0o777)
	if errors.Is(err, fs.ErrExist) {
		return nil // another writer was faster
	}
	if err != nil {
		return err
	}
	return syncDir(parent)
}

// syncDir puts a folder's entries on disk. Some file systems can't, and say so.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTSUP) {
		err = nil
	}
	return errors.Join(err, d.Close())
}
