package packed

import (
	"os"
	"path/filepath"
	"slices"
	"sync"
)

// cache keeps blocks in a folder of bounded size, which processes on a machine may
// share. It is never trusted: who takes a block from it checks its hash. It is
// never needed either, so that a full disk costs time and nothing else.
type cache struct {
	root  string // of all datasets' blocks
	dir   string // of this dataset's
	limit int64  // bytes of all files below root

	mu sync.Mutex
	// used is what lies below root, as far as is known: others write too. fresh is
	// what this process wrote since it last looked.
	used, fresh int64
}

// The cache's limit is kept with room to spare: it trims where it has reached 15/16
// of it, and looks at what others have written before it has itself written as much as
// is left. So one process stays below the limit with what a file takes beyond its
// bytes and with folders, two with each other; and a volume of that size does not fill.
func (c *cache) most() int64   { return c.limit / 16 * 15 }
func (c *cache) unseen() int64 { return c.limit / 16 }

// fileUnit is what a file's size on disk is rounded up to.
const fileUnit = 4 << 10

// onDisk is what a file of so many bytes takes.
func onDisk(size int64) int64 { return (size + fileUnit - 1) / fileUnit * fileUnit }

// openCache uses the folder, which need not be there yet, for a dataset. nil is a
// cache that keeps nothing.
func openCache(root, digest string, limit int64) *cache {
	if root == "" || limit <= 0 {
		return nil
	}
	c := &cache{root: root, dir: filepath.Join(root, digest), limit: limit}
	c.trim()
	return c
}

func (c *cache) get(name string) []byte {
	if c == nil {
		return nil
	}
	content, err := os.ReadFile(filepath.Join(c.dir, name))
	if err != nil {
		return nil
	}
	return content
}

// put keeps a block, after room has been made for it.
func (c *cache) put(name string, content []byte) {
	if size := onDisk(int64(len(content))); c != nil && size <= c.limit/8 && c.room(size) {
		c.write(name, content)
	}
}

// room makes and takes room for a file of the size on disk. There is none where others
// hold it, or where files can't be removed.
func (c *cache) room(size int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.used+size > c.most() || c.fresh+size > c.unseen() {
		c.trim()
	}
	if c.used+size > c.most() {
		return false
	}
	c.used, c.fresh = c.used+size, c.fresh+size
	return true
}

// write writes a file that is whole or not there.
func (c *cache) write(name string, content []byte) {
	if os.MkdirAll(c.dir, 0o777) != nil {
		return
	}
	f, err := os.CreateTemp(c.dir, ".tmp-*")
	if err != nil {
		return
	}
	_, err = f.Write(content)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), filepath.Join(c.dir, name))
	}
	if err != nil {
		_ = os.Remove(f.Name()) // or else trim does, one day
	}
}

// trim looks at what is there and removes the oldest files where it is more than
// 3/4 of the limit.
func (c *cache) trim() {
	var files []os.FileInfo
	var paths []string
	c.used, c.fresh = 0, 0
	_ = filepath.WalkDir(c.root, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil // what can't be read is not counted
		}
		if info, err := d.Info(); err == nil {
			files, paths = append(files, info), append(paths, path)
			c.used += onDisk(info.Size())
		}
		return nil
	})
	if c.used <= c.limit/4*3 {
		return
	}
	order := make([]int, len(files))
	for k := range order {
		order[k] = k
	}
	slices.SortFunc(order, func(a, b int) int { return files[a].ModTime().Compare(files[b].ModTime()) })
	for _, k := range order {
		if c.used <= c.limit/4*3 {
			return
		}
		if os.Remove(paths[k]) == nil {
			c.used -= onDisk(files[k].Size())
		}
	}
}
