package packed

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"golang.org/x/sync/errgroup"
)

// Label gives the class of example i, or NoLabel.
func (r *Reader) Label(ctx context.Context, i int) (uint32, error) {
	if i < 0 || i >= r.manifest.Count {
		return 0, fmt.Errorf("there is no example %d of %d", i, r.manifest.Count)
	}
	labels, err := r.labels(ctx, i/r.layout.perObject())
	if err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint32(labels[i%r.layout.perObject()*labelSize:]), nil
}

// Labels reads the classes of all examples, NoLabel where one has none: four bytes an
// image, and a request for every object.
func (r *Reader) Labels(ctx context.Context) ([]uint32, error) {
	all := make([]uint32, r.manifest.Count)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(fetchers)
	for k := range r.manifest.Objects {
		group.Go(func() error {
			labels, err := r.labels(ctx, k)
			if err != nil {
				return err
			}
			for i := range len(labels) / labelSize {
				all[k*r.layout.perObject()+i] = binary.LittleEndian.Uint32(labels[i*labelSize:])
			}
			return nil
		})
	}
	return all, group.Wait()
}

// labels gives an object's labels as they are stored, checked.
func (r *Reader) labels(ctx context.Context, object int) ([]byte, error) {
	o := r.manifest.Objects[object]
	name := fmt.Sprintf("labels-%d", object)
	if labels := r.cache.get(name); labels != nil && sha256.Sum256(labels) == o.Labels {
		return labels, nil
	}
	labels := make([]byte, o.Count*labelSize)
	if err := r.read(ctx, o, int64(o.Count*r.layout.record), labels, o.Labels, "the labels"); err != nil {
		return nil, err
	}
	r.cache.put(name, labels)
	return labels, nil
}
