package dataset

import (
	"errors"

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

// fromPacked takes the reader.
func fromPacked(r *packed.Reader, uri string, want Want) (Dataset, error) {
	if err := want.check(uri, r.Manifest().Shape); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return stored{r, uri}, nil
}

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
