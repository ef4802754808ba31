package raw

import (
	"context"
	"errors"
	"io/fs"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/dataset/packed"
)

// Locate opens what a path or URI names: a file, or a folder or prefix. stores opens
// the place that a URI names.
func Locate(ctx context.Context, uri string, stores func(ctx context.Context, uri string) (packed.Store, error)) (*Source, error) {
	if !strings.Contains(uri, "://") {
		abs, err := filepath.Abs(uri)
		if err != nil {
			return nil, err
		}
		uri = abs
	}
	parent, bases := candidates(uri)
	for _, base := range bases {
		store, err := stores(ctx, parent)
		if err != nil {
			return nil, err
		}
		r, _, err := store.Stream(ctx, base)
		if err == nil {
			_ = r.Close() // it only had to be there
			return Open(ctx, store, base)
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	store, err := stores(ctx, uri)
	if err != nil {
		return nil, err
	}
	return Open(ctx, store, "")
}

// candidates says where the file that is named may lie, and under which names there: a
// URI's is escaped, as its folders are, unless it was written as it is.
func candidates(uri string) (parent string, bases []string) {
	parent, base := split(uri)
	if base == "" {
		return parent, nil
	}
	if strings.Contains(uri, "://") {
		if plain, err := url.PathUnescape(base); err == nil && plain != base {
			bases = append(bases, plain)
		}
	}
	return parent, append(bases, base)
}

// split cuts the last part of the path off a URI, which may have options; base is ""
// where the path has none.
func split(uri string) (parent, base string) {
	scheme, rest, found := strings.Cut(uri, "://")
	if !found {
		dir, base := filepath.Split(uri)
		return dir, base
	}
	address, options, _ := strings.Cut(rest, "?")
	if options != "" {
		options = "?" + options
	}
	address = strings.TrimRight(address, "/")
	cut := strings.LastIndexByte(address, '/')
	if cut < 0 {
		return uri, ""
	}
	return scheme + "://" + address[:cut] + "/" + options, address[cut+1:]
}
