package storage

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// listLinks is List that goes into folders that are links, too, for what people have
// put together: a class of images on another disk is one of their classes. A link that
// leads nowhere, or back to a folder that it is in, is an error, since whatever is
// left out would be missing without a word. Links whose names begin with a dot, or
// that are in such a folder, are passed over: programs keep those for themselves.
func (l *local) listLinks(ctx context.Context, prefix string) ([]Info, error) {
	return l.list(ctx, prefix, func(ctx context.Context, base, folder, prefix string) ([]Info, error) {
		st, err := os.Stat(base)
		if err != nil {
			return nil, err
		}
		w := linkWalk{ctx: ctx, prefix: prefix}
		err = w.folder(base, folder, []fs.FileInfo{st})
		return w.infos, err
	})
}

// linkWalk is a walk that follows links.
type linkWalk struct {
	ctx    context.Context
	prefix string
	infos  []Info
}

// folder walks over a directory, whose key is "" or ends with a slash. way are the
// directories from the first one to it.
func (w *linkWalk) folder(dir, key string, way []fs.FileInfo) error {
	entries, err := os.ReadDir(dir)
	if err != nil && !gone(err) {
		return fmt.Errorf("%s: %w", dir, cause(err))
	}
	for _, d := range entries {
		if err := w.ctx.Err(); err != nil {
			return err
		}
		if err := w.entry(filepath.Join(dir, d.Name()), key+d.Name(), d, way); err != nil {
			return err
		}
	}
	return nil
}

// entry looks at what is in a directory.
func (w *linkWalk) entry(name, key string, d fs.DirEntry, way []fs.FileInfo) error {
	link := d.Type()&fs.ModeSymlink != 0
	if !w.leads(key) || hidden(key) || checkKey(key) != nil || link && dotted(key) {
		return nil
	}
	st, err := os.Stat(name)
	switch {
	case gone(err) && link:
		return w.dangling(name, key)
	case gone(err):
		return nil
	case err != nil:
		return fmt.Errorf("%s: %w", key, cause(err))
	case st.Mode().IsRegular() && strings.HasPrefix(key, w.prefix):
		w.infos = append(w.infos, Info{Key: key, Size: st.Size(), ModTime: st.ModTime()})
	case st.IsDir():
		for _, above := range way {
			if os.SameFile(above, st) {
				return mistakef("%s leads back to a folder that it is in; remove the link", key)
			}
		}
		return w.folder(name, key+"/", append(way[:len(way):len(way)], st))
	}
	return nil
}

// leads says whether the key has the prefix, or is a folder in which keys have it.
func (w *linkWalk) leads(key string) bool {
	return strings.HasPrefix(key, w.prefix) || strings.HasPrefix(w.prefix, key+"/")
}

// dangling says where a link should lead, unless it has gone away itself.
func (w *linkWalk) dangling(name, key string) error {
	to, err := os.Readlink(name)
	if gone(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s: %w", key, cause(err))
	}
	return mistakef("%s is a link to %s, where nothing is; mend or remove the link", key, to)
}

// dotted says whether a part of the key begins with a dot.
func dotted(key string) bool { return strings.HasPrefix(key, ".") || strings.Contains(key, "/.") }
