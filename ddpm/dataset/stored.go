package dataset

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/dataset/packed"
)

// Ahead is a Dataset that is read from afar, and goes faster where it knows what
// comes next.
type Ahead interface {
	Dataset
	// Ahead names the examples that are needed next, in order. It returns at once.
	Ahead(examples []int)
	// Waited is how long Example made its callers wait for data so far, all
	// together, in nanoseconds.
	Waited() int64
}

// stored is a packed dataset.
type stored struct {
	*packed.Reader
	uri string
}

// storedLabeled is a packed dataset whose labels are in memory.
type storedLabeled struct {
	stored
	labels []uint32
}

// fromPacked takes the reader. Where labels are wanted and every image has one, the
// dataset is Labeled.
func fromPacked(ctx context.Context, r *packed.Reader, uri string, want Want) (Dataset, error) {
	s := stored{r, uri}
	if err := want.check(uri, r.Manifest().Shape); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	if !want.Labels {
		return s, nil
	}
	labels, err := r.Labels(ctx)
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	without := slices.Index(labels, packed.NoLabel)
	switch {
	case without < 0:
		return storedLabeled{s, labels}, nil
	case slices.ContainsFunc(labels, func(l uint32) bool { return l != packed.NoLabel }):
		err := fmt.Errorf("dataset %s: example %d has no label, and others have; leave out --classes, or import it with a label for each image", uri, without)
		return nil, errors.Join(err, r.Close())
	}
	return s, nil
}

// Label implements Labeled.
func (s storedLabeled) Label(i int) int { return int(s.labels[i]) }

func (s stored) Len() int       { return s.Manifest().Count }
func (s stored) Shape() Shape   { return s.Manifest().Shape }
func (s stored) Digest() string { return s.Manifest().Digest }
func (s stored) URI() string    { return s.uri }

func (s stored) Example(i int, dst []uint8) error {
	if err := checkExample(s, i, dst); err != nil {
		return err
	}
	return s.Reader.Example(i, dst)
}
