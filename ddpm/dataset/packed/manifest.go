package packed

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
)

// Format is the version of the packed form that this build writes and reads.
const Format = 1

// maxManifest bounds dataset.json, in bytes: some 200,000 objects, 6 TB of images.
const maxManifest = 64 << 20

// Manifest is the content of dataset.json.
type Manifest struct {
	Format int   `json:"format"`
	Shape  Shape `json:"shape"`
	// Count counts the images.
	Count int `json:"count"`
	// Digest names the images: see the package's documentation.
	Digest string `json:"digest"`
	// Classes are the names of the labels, none where they are unknown.
	Classes []string `json:"classes,omitempty"`
	// Resize is the rule by which the images got their shape; Source is where they
	// were imported from.
	Resize string `json:"resize,omitempty"`
	Source string `json:"source,omitempty"`
	// Broken counts the source's images that could not be read and were left out.
	Broken  int      `json:"broken,omitempty"`
	Objects []Object `json:"objects"`
}

// Object is an entry of a manifest.
type Object struct {
	// Key is below the dataset's place.
	Key   string `json:"key"`
	Count int    `json:"count"`
	Size  int64  `json:"size"` // bytes
	// SHA256 is of the whole object, Root of its list of hashes, Labels of its
	// classes.
	SHA256 Hash `json:"sha256"`
	Root   Hash `json:"root"`
	Labels Hash `json:"labels"`
}

func objectKey(k int) string { return fmt.Sprintf("images-%05d.bin", k) }

// roots gives the hashes that the digest is made of.
func (m Manifest) roots() []Hash {
	roots := make([]Hash, len(m.Objects))
	for k, o := range m.Objects {
		roots[k] = o.Root
	}
	return roots
}

// Validate says what in the manifest contradicts itself. Nothing that it accepts
// leads a reader to another object than the dataset's own, or to memory that the
// objects don't have.
func (m Manifest) Validate() error {
	if m.Format != Format {
		return fmt.Errorf("format %d: this build reads format %d", m.Format, Format)
	}
	if err := m.Shape.validate(); err != nil {
		return err
	}
	l := layoutOf(m.Shape)
	if m.Count < 1 || m.Count > math.MaxInt32 || l.objects(m.Count) != len(m.Objects) {
		return fmt.Errorf("%d images of %v in %d objects don't go together", m.Count, m.Shape, len(m.Objects))
	}
	if err := checkObjects(m.Objects, l, m.Count); err != nil {
		return err
	}
	if found := digest(m.Shape, m.Count, m.roots()); found != m.Digest {
		return fmt.Errorf("the objects' hashes make the digest %s, not %s", found, m.Digest)
	}
	return nil
}

// checkObjects says which object is not as n images are laid out.
func checkObjects(objects []Object, l layout, n int) error {
	for k, o := range objects {
		count := min(n-k*l.perObject(), l.perObject())
		if o.Key != objectKey(k) || o.Count != count || o.Size != l.size(count) {
			return fmt.Errorf("object %d is %q with %d images in %d bytes, not %q with %d in %d",
				k, o.Key, o.Count, o.Size, objectKey(k), count, l.size(count))
		}
	}
	return nil
}

// Encode writes the manifest as indented JSON.
func (m Manifest) Encode() ([]byte, error) {
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", ManifestKey, err)
	}
	return append(text, '\n'), nil
}

// DecodeManifest reads a manifest and validates it.
func DecodeManifest(text []byte) (Manifest, error) {
	var m Manifest
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&m); err != nil {
		return Manifest{}, err
	}
	return m, m.Validate()
}

// ErrNone says that there is no packed dataset at a place.
var ErrNone = errors.New("there is no " + ManifestKey)

// ReadManifest reads the manifest of the dataset at prefix, which may be "".
// ErrNone.
func ReadManifest(ctx context.Context, store Store, prefix string) (Manifest, error) {
	key := at(prefix, ManifestKey)
	text, err := store.Read(ctx, key, maxManifest)
	if errors.Is(err, fs.ErrNotExist) {
		return Manifest{}, fmt.Errorf("dataset %s in %s: %w", prefix, store, ErrNone)
	}
	if err != nil {
		return Manifest{}, err
	}
	m, err := DecodeManifest(text)
	if err != nil {
		return Manifest{}, fmt.Errorf("dataset %s in %s: %s is damaged: %w; import it again", prefix, store, ManifestKey, err)
	}
	return m, nil
}
