package packed

import (
	"context"
	"io"
	"path"
	"regexp"
	"strings"
)

// Store is what a dataset needs of the place where it lies; storage.Blobs is one.
// Errors say which object of which place, and wrap fs.ErrNotExist or fs.ErrExist
// where a method says so. All methods may be called concurrently.
type Store interface {
	// Read returns a whole object of at most limit bytes; a larger one is an error.
	// fs.ErrNotExist.
	Read(ctx context.Context, key string, limit int64) ([]byte, error)
	// ReadRange fills p with the object's bytes from offset on. It outlasts what
	// passes, such as a server that is away for a minute. fs.ErrNotExist.
	ReadRange(ctx context.Context, key string, offset int64, p []byte) error
	// Stream opens an object to be read once, and says its size in bytes.
	// fs.ErrNotExist.
	Stream(ctx context.Context, key string) (io.ReadCloser, int64, error)
	// Write writes an object, replacing what is there.
	Write(ctx context.Context, key string, content []byte, contentType string) error
	// Create writes an object that isn't there. fs.ErrExist.
	Create(ctx context.Context, key string, content []byte, contentType string) error
	// Remove removes an object; one that isn't there is no error.
	Remove(ctx context.Context, key string) error
	// Walk visits the objects whose keys begin with prefix, sorted by key: size in
	// bytes, and when it was written, in nanoseconds since 1970. It ends with the
	// first error of visit, and returns it.
	Walk(ctx context.Context, prefix string, visit func(key string, size, written int64) error) error
	// WalkLinks is Walk for files that people have put there: a folder that is a link
	// is a folder, where the Store has such. A link that leads nowhere, or back to a
	// folder that it is in, is an error.
	WalkLinks(ctx context.Context, prefix string, visit func(key string, size, written int64) error) error
	// String says where the Store is, in the form that finds it again.
	String() string
}

// Folder is where datasets lie in a run's Store.
const Folder = "datasets"

// ManifestKey is the object, below a dataset's place, that makes it one.
const ManifestKey = "dataset.json"

// Prefix is a named dataset's place in a run's Store.
func Prefix(name string) string { return Folder + "/" + name }

// ValidName says whether a dataset can have the name: it is a folder's.
func ValidName(name string) bool {
	return len(name) <= 64 && regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`).MatchString(name)
}

// remote says whether reading again from the Store costs a network.
func remote(s Store) bool { return strings.HasPrefix(s.String(), "s3://") }

// at is the key of a dataset's object; prefix may be "".
func at(prefix, key string) string { return path.Join(prefix, key) }
