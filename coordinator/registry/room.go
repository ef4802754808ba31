package registry

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// walRoom is what the embedded etcd takes when it begins: it allocates a log of 64
// MB at once, and ends the process where it can't.
const walRoom = 80 << 20

// checkRoom makes sure, before etcd begins in a folder, that it will have the room.
func checkRoom(dir string) error {
	if _, err := os.Stat(filepath.Join(dir, "member", "wal")); !errors.Is(err, os.ErrNotExist) {
		return err // it has begun before
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
	return enough(uint64(fs.Bavail) * uint64(fs.Bsize)) //nolint:unconvert // other systems have other types
}

// enough says how many bytes are missing, if any.
func enough(free uint64) error {
	if free < walRoom {
		return fmt.Errorf("its disk has %d MB free, and %d are needed; free some, or choose another --data-dir", free>>20, walRoom>>20)
	}
	return nil
}
