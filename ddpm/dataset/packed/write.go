package packed

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
)

// NoLabel is the label of an image whose class is unknown.
const NoLabel = math.MaxUint32

// Writer writes the objects of a dataset, image after image, and its manifest at
// last. It keeps one object in memory.
//
// Invariant: an object that is there stays as it is. So of two writers at one place
// none spoils what the other has published, and those of the same images help each
// other.
type Writer struct {
	store   Store
	prefix  string
	shape   Shape
	layout  layout
	objects []Object
	images  []byte
	labels  []byte
}

// NewWriter writes to the dataset's place. done are the objects that an earlier
// writer of the same images has written there already, all of them full.
func NewWriter(store Store, prefix string, s Shape, done []Object) (*Writer, error) {
	if err := s.validate(); err != nil {
		return nil, err
	}
	w := &Writer{store: store, prefix: prefix, shape: s, layout: layoutOf(s), objects: done}
	if err := checkObjects(done, w.layout, len(done)*w.layout.perObject()); err != nil {
		return nil, err
	}
	return w, nil
}

// Count counts the images so far.
func (w *Writer) Count() int {
	return len(w.objects)*w.layout.perObject() + len(w.images)/w.layout.record
}

// Objects lists what has been written.
func (w *Writer) Objects() []Object { return w.objects }

// Add adds an image. wrote says that an object went to the Store with it, and that
// nothing is left in memory.
func (w *Writer) Add(ctx context.Context, image []byte, label uint32) (wrote bool, err error) {
	if len(image) != w.layout.record {
		return false, fmt.Errorf("an image of %d bytes where %v has %d", len(image), w.shape, w.layout.record)
	}
	if w.Count() == math.MaxInt32 {
		return false, fmt.Errorf("a dataset has at most %d images", math.MaxInt32)
	}
	w.images = append(w.images, image...)
	w.labels = binary.LittleEndian.AppendUint32(w.labels, label)
	if len(w.images) < w.layout.perObject()*w.layout.record {
		return false, nil
	}
	return true, w.flush(ctx)
}

// flush writes an object.
func (w *Writer) flush(ctx context.Context) error {
	list := w.layout.leaves(nil, w.images)
	o := Object{
		Key: objectKey(len(w.objects)), Count: len(w.images) / w.layout.record,
		Root: sha256.Sum256(list), Labels: sha256.Sum256(w.labels),
	}
	content := append(append(w.images, w.labels...), list...)
	o.Size, o.SHA256 = int64(len(content)), sha256.Sum256(content)
	err := w.store.Create(ctx, at(w.prefix, o.Key), content, "application/octet-stream")
	if errors.Is(err, fs.ErrExist) {
		err = w.same(ctx, o)
	}
	if err != nil {
		return err
	}
	w.objects = append(w.objects, o)
	w.images, w.labels = content[:0], w.labels[:0]
	return nil
}

// same makes sure that the object that is there is the one that should be, as after a
// writer that was cut off, or where the answer to an own write was lost.
func (w *Writer) same(ctx context.Context, o Object) error {
	key := at(w.prefix, o.Key)
	r, size, err := w.store.Stream(ctx, key)
	if err != nil {
		return err
	}
	defer r.Close()
	h := sha256.New()
	if _, err := io.Copy(h, r); err != nil {
		return fmt.Errorf("read %s in %s: %w", key, w.store, err)
	}
	if size == o.Size && Hash(h.Sum(nil)) == o.SHA256 {
		return nil
	}
	return fmt.Errorf("%s in %s: another import has written other images there; choose another name, or, where that import is dead, remove this object and all beside it",
		key, w.store)
}

// Finish writes what is left and publishes the manifest, whose description the
// caller has filled in: classes, rule, source. It fails where a dataset is there
// already.
func (w *Writer) Finish(ctx context.Context, m Manifest) (Manifest, error) {
	if len(w.images) > 0 {
		if err := w.flush(ctx); err != nil {
			return Manifest{}, err
		}
	}
	m.Format, m.Shape, m.Objects, m.Count = Format, w.shape, w.objects, 0
	for _, o := range w.objects {
		m.Count += o.Count
	}
	m.Digest = digest(m.Shape, m.Count, m.roots())
	if err := m.Validate(); err != nil {
		return Manifest{}, err
	}
	text, err := m.Encode()
	if err != nil {
		return Manifest{}, err
	}
	err = w.store.Create(ctx, at(w.prefix, ManifestKey), text, "application/json")
	if errors.Is(err, fs.ErrExist) {
		// The answer to an own write may have been lost on the way.
		if there, rerr := ReadManifest(ctx, w.store, w.prefix); rerr == nil && there.Digest == m.Digest {
			return there, nil
		}
		return Manifest{}, fmt.Errorf("dataset %s in %s: another one is there; choose another name", w.prefix, w.store)
	}
	return m, err
}
