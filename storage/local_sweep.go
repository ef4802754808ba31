package storage

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// staleAfter is how long nothing must have been written to a temporary file, nor changed in
// an empty folder, before it counts as left behind.
const staleAfter = time.Hour

// pruned is the folder of the root below which empty folders are a Delete's that was killed.
// Elsewhere they may be somebody else's: the root may be a data dir, or one with all sorts.
const pruned = "runs"

// sweep removes temporary files that nobody has written to for staleAfter, and below pruned
// the empty folders that nobody has changed. It does what it can within the limit: a file
// that stays is hidden anyway.
func (l *local) sweep(ctx context.Context, limit time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	before := time.Now().Add(-staleAfter)
	var folders []string // old ones, each before those in it
	prunes := filepath.Join(l.root, pruned) + string(filepath.Separator)
	_ = filepath.WalkDir(l.root, func(name string, d fs.DirEntry, err error) error {
		if ctx.Err() != nil {
			return fs.SkipAll
		}
		folder := err == nil && d.IsDir() && strings.HasPrefix(name+string(filepath.Separator), prunes)
		if err != nil || !folder && (d.IsDir() || !strings.HasPrefix(d.Name(), tempPrefix)) {
			return nil
		}
		st, err := d.Info()
		switch {
		case err != nil || !st.ModTime().Before(before):
		case folder:
			folders = append(folders, name)
		default:
			_ = os.Remove(name)
		}
		return nil
	})
	for _, folder := range slices.Backward(folders) {
		if ctx.Err() != nil {
			return
		}
		_ = os.Remove(folder) // which one that has something in it, or gets it now, outlasts
	}
}
