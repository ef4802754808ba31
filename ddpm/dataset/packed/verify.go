package packed

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
)

// Verify reads every object of a dataset and compares its SHA-256. progress, which may
// be nil, hears of every object how many bytes have been read.
func Verify(ctx context.Context, store Store, prefix string, m Manifest, progress func(bytes int64)) error {
	l := layoutOf(m.Shape)
	for _, o := range m.Objects {
		if err := verifyObject(ctx, store, at(prefix, o.Key), o, l); err != nil {
			return fmt.Errorf("dataset %s in %s: %w", prefix, store, err)
		}
		if progress != nil {
			progress(o.Size)
		}
	}
	return nil
}

// verifyObject checks an object as a whole and, since readers go by them, its parts.
func verifyObject(ctx context.Context, store Store, key string, o Object, l layout) error {
	r, size, err := store.Stream(ctx, key)
	if err != nil {
		return err
	}
	defer r.Close()
	if size != o.Size {
		return fmt.Errorf("%s has %d bytes, not %d; import it again", o.Key, size, o.Size)
	}
	content := make([]byte, size)
	if _, err := io.ReadFull(r, content); err != nil {
		return fmt.Errorf("read %s: %w", o.Key, err)
	}
	images := o.Count * l.record
	labels := images + o.Count*labelSize
	list := content[labels:]
	if sha256.Sum256(content) != o.SHA256 || sha256.Sum256(content[images:labels]) != o.Labels ||
		sha256.Sum256(list) != o.Root || string(l.leaves(nil, content[:images])) != string(list) {
		return fmt.Errorf("%s is damaged: its SHA-256 is another; import it again", o.Key)
	}
	return nil
}
