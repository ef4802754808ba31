package dataset

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/dataset/packed"
)

// Places are where Open finds what is not in files that it reads into memory. The
// zero value has none.
type Places struct {
	// Stores opens the place that a URI names, a folder or s3://bucket/prefix?options.
	Stores func(ctx context.Context, uri string) (packed.Store, error)
	// Run is the run's own Store, whose datasets have names.
	Run packed.Store
	// Packed says how packed datasets are read.
	Packed packed.Options
	// Import, where it is not nil, lets Open import into Run what it can't read as it
	// lies; Stores and Run are needed then.
	Import *Importing
}

// Open opens a dataset with no Places: the built-in digits, and files.
func Open(ctx context.Context, uri string, want Want) (Dataset, error) {
	return Places{}.Open(ctx, uri, want)
}

// storeScheme names a dataset of the run's Store.
const storeScheme = "store://"

// Open opens the dataset that the URI names:
//
//	glyphs://?size=32&channels=3&n=60000&seed=1   drawn digits; each parameter may be left out
//	PATH or file://PATH                           files of this machine
//	s3://bucket/prefix?endpoint=HOST:PORT         objects
//	store://NAME                                  a packed dataset of the run's Store
//	NAME                                          the same, unless there is a file or folder of that name
//
// MNIST's IDX and CIFAR-10's binary files of this machine are read into memory, where
// the package comment says which names are looked for; a packed dataset is read as it
// is needed, and is an io.Closer; what package raw reads beside these is imported into
// the run's Store once, if Import allows it. The error says what was expected, what was
// found, and what to do; a *ShapeError or a *FormatError can be taken from it.
func (p Places) Open(ctx context.Context, uri string, want Want) (Dataset, error) {
	scheme, rest, ok := strings.Cut(uri, "://")
	switch {
	case uri == "", uri == "file://":
		return nil, fmt.Errorf("dataset %q: no path is given; %s", uri, usage)
	case !ok && p.named(ctx, uri):
		return p.openNamed(ctx, uri, want)
	case !ok:
		return p.openPath(ctx, uri, want)
	case scheme == "file":
		return p.openPath(ctx, pathOf(rest), want)
	case scheme == "glyphs":
		return openGlyphs(uri, rest, want)
	case scheme == "store" && p.Run != nil:
		return p.openNamed(ctx, rest, want)
	case scheme == "s3" && p.Stores != nil:
		return p.openURI(ctx, uri, want)
	}
	return nil, fmt.Errorf("dataset %s: scheme %q is not known (%s are); %s", uri, scheme, p.schemes(), usage)
}

// schemes lists those that can be opened.
func (p Places) schemes() string {
	known := "glyphs and file"
	if p.Run != nil {
		known = "store, " + known
	}
	if p.Stores != nil {
		known = "s3, " + known
	}
	return known
}

const usage = "give MNIST IDX or CIFAR-10 files, images in a form that ddpmctl data import knows, or glyphs:// for the built-in digits"

// named says whether the URI is the name of a dataset in the run's Store, and of
// nothing here.
func (p Places) named(ctx context.Context, uri string) bool {
	if p.Run == nil || !packed.ValidName(uri) {
		return false
	}
	if _, err := os.Stat(uri); err == nil {
		return false
	}
	_, err := packed.ReadManifest(ctx, p.Run, packed.Prefix(uri))
	return !errors.Is(err, packed.ErrNone)
}

func (p Places) openNamed(ctx context.Context, name string, want Want) (Dataset, error) {
	if !packed.ValidName(name) {
		return nil, fmt.Errorf("dataset %s%s: %q is no name of a dataset; see ddpmctl data list", storeScheme, name, name)
	}
	r, err := packed.Open(ctx, p.Run, packed.Prefix(name), p.Packed)
	if errors.Is(err, packed.ErrNone) {
		err = fmt.Errorf("%w; see ddpmctl data list", err)
	}
	if err != nil {
		return nil, err
	}
	return fromPacked(ctx, r, storeScheme+name, want)
}

// pathOf is the path of a file URI: escaped, unless it was written as it is.
func pathOf(rest string) string {
	if plain, err := url.PathUnescape(rest); err == nil {
		if _, err := os.Stat(plain); err == nil {
			return plain
		}
	}
	return rest
}

// openPath opens a packed dataset's folder, or else files.
func (p Places) openPath(ctx context.Context, path string, want Want) (Dataset, error) {
	direct, err := readDirectly(path)
	if err != nil {
		return nil, err
	}
	if p.Stores == nil || direct {
		return openFiles(ctx, path, want)
	}
	return p.openURI(ctx, path, want)
}

// openURI opens the packed dataset whose place is a Store of its own, or imports what
// is there.
func (p Places) openURI(ctx context.Context, uri string, want Want) (Dataset, error) {
	store, err := p.Stores(ctx, uri)
	if err != nil && strings.Contains(uri, "://") {
		return nil, err
	}
	if err == nil { // a file is no Store
		r, err := packed.Open(ctx, store, "", p.Packed)
		if err == nil {
			return fromPacked(ctx, r, store.String(), want)
		}
		if !errors.Is(err, packed.ErrNone) {
			return nil, err
		}
	}
	if p.Import == nil || p.Run == nil {
		return nil, fmt.Errorf("dataset %s: %w; %s", uri, packed.ErrNone, usage)
	}
	return p.importRaw(ctx, uri, want)
}
