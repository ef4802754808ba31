package raw

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/dataset/packed"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/dataset/resize"
)

// findIDX finds an images file, the training set first and unpacked before packed,
// and its labels, if there are any.
func findIDX(files []File) (images, labels *File) {
	for _, set := range []string{"train", "t10k"} {
		for _, dot := range []string{"-", "."} {
			for _, gz := range []string{"", ".gz"} {
				images = find(files, "", set+"-images"+dot+"idx3-ubyte"+gz)
				if images == nil {
					continue
				}
				for _, gz := range []string{"", ".gz"} {
					if labels == nil {
						labels = find(files, path.Dir(images.Key), set+"-labels"+dot+"idx1-ubyte"+gz)
					}
				}
				return images, labels
			}
		}
	}
	return nil, nil
}

// find finds a file by its base name, in a folder unless dir is "".
func find(files []File, dir, base string) *File {
	for k, f := range files {
		if path.Base(f.Key) == base && (dir == "" || path.Dir(f.Key) == dir) {
			return &files[k]
		}
	}
	return nil
}

func (s *Source) openIDX(ctx context.Context, images File, labels *File) error {
	in, err := s.open(ctx, images)
	if err != nil {
		return err
	}
	defer in.Close()
	n, shape, what, err := imagesHeader(in)
	if err != nil {
		return err
	}
	if _, err := in.room(uint64(n), uint64(shape.Bytes()), what); err != nil {
		return err
	}
	s.Form, s.Images, s.Shape, s.Files, s.Cut = "IDX", int(n), shape, []File{images}, true
	if labels != nil {
		s.Files = append(s.Files, *labels)
	}
	s.each = func(ctx context.Context, yield func(Item) error) error { return s.eachIDX(ctx, images, labels, yield) }
	return nil
}

func (s *Source) eachIDX(ctx context.Context, images File, labels *File, yield func(Item) error) error {
	in, err := s.open(ctx, images)
	if err != nil {
		return err
	}
	defer in.Close()
	n, shape, what, err := imagesHeader(in)
	if err != nil {
		return err
	}
	if _, err := in.room(uint64(n), uint64(shape.Bytes()), what); err != nil {
		return err
	}
	classes, err := s.labels(ctx, images, labels, int(n))
	if err != nil {
		return err
	}
	for i := range int(n) {
		item := Item{Name: fmt.Sprintf("%s, image %d", images.Key, i), Label: NoLabel}
		if classes != nil {
			item.Label = int(classes[i])
		}
		// In pieces, since for gzip the header's promise is not proven.
		pixels, err := in.take(shape.Bytes(), what)
		if err != nil {
			return err
		}
		item.Image = resize.Image{Width: shape.Width, Height: shape.Height, Channels: 1, Pixels: pixels}
		if err := yield(item); err != nil {
			return err
		}
	}
	return in.end(what)
}

// labels reads the labels of n images, a byte each; nil if there are none.
func (s *Source) labels(ctx context.Context, images File, file *File, n int) ([]uint8, error) {
	if file == nil {
		return nil, nil
	}
	in, err := s.open(ctx, *file)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	list, err := ReadLabels(in)
	if err != nil {
		return nil, err
	}
	return list, PairLabels(in, len(list), images.Key, n)
}

// take reads n bytes into memory that grows with what is there.
func (s *Input) take(n int, what string) ([]byte, error) {
	b := make([]byte, min(n, readPiece))
	for have := 0; ; {
		if err := s.read(b[have:], what); err != nil {
			return nil, err
		}
		if len(b) == n {
			return b, nil
		}
		have = len(b)
		b = append(b, make([]byte, min(n-have, have))...)
	}
}

// cifarNames are CIFAR-10's training batches, and then its test batch.
func cifarNames() (train []string, test string) {
	for k := range 5 {
		train = append(train, fmt.Sprintf("data_batch_%d.bin", k+1))
	}
	return train, "test_batch.bin"
}

// findCIFAR finds the five training batches, in order, or else the test batch, or
// else the single file that was named; nil if it is none of them.
func findCIFAR(files []File, single bool) ([]File, error) {
	if single {
		return named(files, ending(".bin")), nil
	}
	train, test := cifarNames()
	var batches []File
	missing := ""
	for _, name := range train {
		if f := find(files, "", name); f != nil {
			batches = append(batches, *f)
		} else {
			missing = name
		}
	}
	if batches != nil && missing != "" {
		return nil, fmt.Errorf("%s is there, but %s is not; add it, or name a single .bin file", batches[0].Key, missing)
	}
	if f := find(files, "", test); batches == nil && f != nil {
		batches = []File{*f}
	}
	return batches, nil
}

// cifarClasses are the names of the labels (batches.meta.txt).
func cifarClasses() []string {
	return strings.Fields("airplane automobile bird cat deer dog frog horse ship truck")
}

func (s *Source) openCIFAR(batches []File, err error) error {
	if err != nil {
		return err
	}
	s.Form, s.Files, s.Shape, s.Classes, s.Cut = "CIFAR-10", batches, CIFARShape(), cifarClasses(), true
	for _, f := range batches {
		s.Images += int(f.Size / cifarRecord)
	}
	s.each = func(ctx context.Context, yield func(Item) error) error {
		for _, f := range batches {
			in, err := s.open(ctx, f)
			if err != nil {
				return err
			}
			err = yieldCIFAR(in, f.Key, yield)
			in.Close()
			if err != nil {
				return err
			}
		}
		return nil
	}
	return nil
}

func yieldCIFAR(in *Input, name string, yield func(Item) error) error {
	i := 0
	shape := CIFARShape()
	return eachCIFAR(in, func(image []uint8, label uint8) error {
		item := Item{Name: fmt.Sprintf("%s, image %d", name, i), Label: int(label), Image: pixelsOf(shape, image)}
		i++
		return yield(item)
	})
}

// pixelsOf copies an image.
func pixelsOf(s packed.Shape, pixels []byte) resize.Image {
	return resize.Image{Width: s.Width, Height: s.Height, Channels: s.Channels, Pixels: append([]byte(nil), pixels...)}
}

// closing joins the error of closing what was only read to none.
func closing(c io.Closer, err error) error {
	if cerr := c.Close(); err == nil && cerr != nil && !errors.Is(cerr, context.Canceled) {
		return cerr
	}
	return err
}
