package raw

import (
	"context"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/dataset/decode"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/dataset/packed"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/dataset/resize"
)

// Item is an image of a source.
type Item struct {
	// Name says where the image is, for people.
	Name string
	// Size tells images of one name apart, as far as is known without reading: the
	// bytes of the file, else 0.
	Size int64
	// Load gives the image file. It may be called from another goroutine, after the
	// next items have come. nil where Image has the pixels already.
	Load  func(ctx context.Context) ([]byte, error)
	Image resize.Image
	// Label is the number of the image's class, NoLabel if it has none, or only
	// Class, its name.
	Label int
	Class string
}

// NoLabel is the Label of an image whose class has no number.
const NoLabel = -1

// File is a file that a source reads.
type File struct {
	Key     string
	Size    int64 // bytes
	Written int64 // nanoseconds since 1970
}

// Source is a dataset in one of the forms.
type Source struct {
	// Form names the form, as the package's documentation lists them.
	Form string
	// Files are those that Each reads.
	Files []File
	// Classes are the names of the labels, where they are known beforehand.
	Classes []string
	// Images counts them, 0 where that is not known before they are read.
	Images int
	// Shape is that of all images, where the form says it; else it is zero.
	Shape packed.Shape
	// Cut says that the images are pieces of the files, and have no names and sizes of
	// their own.
	Cut bool

	store packed.Store
	each  func(ctx context.Context, yield func(Item) error) error
}

// Each gives one item after the other, always in the same order, until yield gives an
// error, which it returns.
func (s *Source) Each(ctx context.Context, yield func(Item) error) error {
	return s.each(ctx, func(i Item) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		return yield(i)
	})
}

// Place says where the source is: its Store, and the file in it if it is a single one.
func (s *Source) Place() string {
	if len(s.Files) == 1 {
		return s.store.String() + ": " + s.Files[0].Key
	}
	return s.store.String()
}

// Remote says whether the source is reached over a network.
func (s *Source) Remote() bool { return strings.HasPrefix(s.store.String(), "s3://") }

// Stream opens one of the files as it lies.
func (s *Source) Stream(ctx context.Context, f File) (io.ReadCloser, int64, error) {
	return s.store.Stream(ctx, f.Key)
}

// What to give, for errors.
const usage = "give MNIST IDX files, CIFAR-10's binary version, a folder or a tar of images, webdataset shards, " +
	"an npz with arr_0, Hugging Face parquet files, or an LMDB folder"

// Open finds out what lies at key, a file, or with key "" in the whole Store.
func Open(ctx context.Context, store packed.Store, key string) (*Source, error) {
	var files []File
	err := store.WalkLinks(ctx, key, func(name string, size, written int64) error {
		if key == "" && !hidden(name) || key != "" && name == key {
			files = append(files, File{name, size, written})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("dataset %s: there is nothing at %q; %s", store, key, usage)
	}
	s := &Source{store: store}
	if err := s.choose(ctx, files, key != ""); err != nil {
		return nil, fmt.Errorf("dataset %s: %w", store, err)
	}
	return s, nil
}

// hidden says whether a part of the name begins with a dot, or is what a Mac adds.
func hidden(name string) bool {
	return strings.HasPrefix(name, ".") || strings.Contains(name, "/.") || strings.Contains("/"+name, "/__MACOSX/")
}

// named picks the files whose base names satisfy is.
func named(files []File, is func(base string) bool) []File {
	var some []File
	for _, f := range files {
		if is(path.Base(f.Key)) {
			some = append(some, f)
		}
	}
	return some
}

// training picks the files of the training split, or all where no name says so.
func training(files []File) []File {
	if train := named(files, func(base string) bool { return strings.HasPrefix(base, "train") }); len(train) > 0 {
		return train
	}
	return files
}

func ending(suffixes ...string) func(string) bool {
	return func(base string) bool {
		return slices.ContainsFunc(suffixes, func(s string) bool { return strings.HasSuffix(strings.ToLower(base), s) })
	}
}

// choose settles the form. A single file that has no telling name is tried as IDX.
func (s *Source) choose(ctx context.Context, files []File, single bool) error {
	if images, labels := findIDX(files); images != nil {
		return s.openIDX(ctx, *images, labels)
	}
	if batches, err := findCIFAR(files, single); err != nil || batches != nil {
		return s.openCIFAR(batches, err)
	}
	if images := named(files, decode.IsImage); len(images) > 0 {
		return s.openFolder(images)
	}
	if shards := training(named(files, ending(".tar", ".tar.gz", ".tgz"))); len(shards) > 0 {
		return s.openTar(ctx, shards)
	}
	if arrays := named(files, ending(".npz")); len(arrays) > 0 {
		return s.openNPZ(ctx, arrays)
	}
	if tables := training(named(files, ending(".parquet"))); len(tables) > 0 {
		return s.openParquet(ctx, tables)
	}
	if maps := named(files, func(base string) bool { return base == "data.mdb" }); len(maps) > 0 {
		return s.openLMDB(ctx, maps)
	}
	if single {
		return s.openIDX(ctx, files[0], nil)
	}
	return fmt.Errorf("none of its %d files has a known form; %s", len(files), usage)
}

// maxFile bounds an image file, in bytes.
const maxFile = 256 << 20

// load reads an image file of the Store.
func (s *Source) load(key string) func(context.Context) ([]byte, error) {
	return func(ctx context.Context) ([]byte, error) { return s.store.Read(ctx, key, maxFile) }
}

// loaded is an image file that has been read.
func loaded(content []byte) func(context.Context) ([]byte, error) {
	return func(context.Context) ([]byte, error) { return content, nil }
}

// open opens a file, unpacked where it is gzip.
func (s *Source) open(ctx context.Context, f File) (*Input, error) {
	r, size, err := s.store.Stream(ctx, f.Key)
	if err != nil {
		return nil, err
	}
	return NewInput(ctx, f.Key, r, size)
}

// openFolder takes image files, which the Store has sorted by their keys.
func (s *Source) openFolder(images []File) error {
	s.Form, s.Files, s.Images = "folder", images, len(images)
	s.each = func(_ context.Context, yield func(Item) error) error {
		for _, f := range images {
			item := Item{Name: f.Key, Size: f.Size, Load: s.load(f.Key), Label: NoLabel, Class: classOf(f.Key)}
			if err := yield(item); err != nil {
				return err
			}
		}
		return nil
	}
	return nil
}

// classOf is the name of the folder that a file is in; "" for one that is in none.
func classOf(key string) string {
	dir := path.Base(path.Dir(key))
	if dir == "." || dir == "/" {
		return ""
	}
	return dir
}

// readAll reads at most maxFile bytes.
func readAll(r io.Reader) ([]byte, error) {
	content, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err == nil && len(content) > maxFile {
		err = fmt.Errorf("it has more than %d bytes", maxFile)
	}
	return content, err
}
