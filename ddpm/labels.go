package ddpm

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/dataset"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/rng"
)

// LabelsDigest names the labels of a dataset for a spec: "sha256:" and the SHA-256 in
// hex over all of them as little-endian uint32; "" for a model without classes. It
// checks that each is a class of the model to be trained.
func LabelsDigest(s Spec, data dataset.Dataset) (string, error) {
	if s.Classes() == 0 {
		return "", nil
	}
	h := sha256.New()
	for i := range data.Len() {
		label, err := Label(s, data, i)
		if err != nil {
			return "", fmt.Errorf("%w; give the number of the dataset's classes by --classes, leave it out, or give another dataset", err)
		}
		h.Write(binary.LittleEndian.AppendUint32(nil, uint32(label)))
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil)), nil
}

// Label is the class of example i of a dataset, checked to be one of the model's.
func Label(s Spec, data dataset.Dataset, i int) (int, error) {
	labeled, ok := data.(dataset.Labeled)
	if !ok {
		return 0, fmt.Errorf("dataset %s has no labels, and a model with classes needs them", data.URI())
	}
	c := labeled.Label(i)
	if c < 0 || c >= s.Classes() {
		return 0, fmt.Errorf("dataset %s: example %d has label %d, but the model has classes 0 … %d", data.URI(), i, c, s.Classes()-1)
	}
	return c, nil
}

// loadClasses finds the rows of the class embedding: the example's label, or the last
// row where the label is dropped.
func (b *Batch) loadClasses(s Spec, data dataset.Dataset, shard []Example) error {
	b.Classes = b.Classes[:0]
	if s.Classes() == 0 {
		b.Classes = nil
		return nil
	}
	for _, ex := range shard {
		c, err := Label(s, data, int(ex.Index))
		if err != nil {
			return err
		}
		if s.dropsLabel(ex) {
			c = s.Model.ClassEmbeds - 1
		}
		b.Classes = append(b.Classes, c)
	}
	return nil
}

// dropsLabel decides for an example of a step.
func (s Spec) dropsLabel(ex Example) bool {
	if s.LabelDropout == 0 {
		return false
	}
	word := rng.Philox4x32(s.Seed, rng.Counter(rng.LabelDrop, ex.Step, ex.Slot, 0))[0]
	return rng.Unit(word) < s.LabelDropout
}
