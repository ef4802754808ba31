package raw

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/dataset/decode"
)

// errFound ends a walk over an archive that has found what it looked for.
var errFound = errors.New("found")

// eachMember visits the regular files of an archive that have no hidden names.
func (s *Source) eachMember(ctx context.Context, f File, visit func(name string, size int64, r io.Reader) error) error {
	in, err := s.open(ctx, f)
	if err != nil {
		return err
	}
	defer in.Close()
	t := tar.NewReader(in.r)
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return in.rest()
		}
		if err != nil {
			return fmt.Errorf("%s: damaged archive: %w; %s", f.Key, err, FixDownload)
		}
		name := path.Clean(strings.TrimPrefix(h.Name, "/"))
		if h.Typeflag != tar.TypeReg || hidden(name) {
			continue
		}
		if err := visit(name, h.Size, t); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// openTar finds out whether the archives hold CIFAR-10's batches or images.
func (s *Source) openTar(ctx context.Context, shards []File) error {
	cifar := false
	train, test := cifarNames()
	err := s.eachMember(ctx, shards[0], func(name string, _ int64, _ io.Reader) error {
		base := path.Base(name)
		cifar = slices.Contains(train, base) || base == test
		if cifar || decode.IsImage(name) {
			return errFound
		}
		return nil
	})
	switch {
	case err == nil:
		return fmt.Errorf("%s holds neither images nor CIFAR-10's binary batches; %s", shards[0].Key, usage)
	case !errors.Is(err, errFound):
		return err
	case cifar:
		return s.openCIFARTar(ctx, shards[0])
	}
	s.Form, s.Files = "tar", shards
	s.each = func(ctx context.Context, yield func(Item) error) error {
		for _, f := range shards {
			if err := s.eachSample(ctx, f, yield); err != nil {
				return err
			}
		}
		return nil
	}
	return nil
}

// sample is what an archive has beside each other under one key: webdataset's
// "images/0001" of images/0001.jpg and images/0001.cls. An archive of plain
// images has samples of one image, whose folder is their class.
type sample struct {
	key    string
	images []Item
	label  int
	class  string
}

func newSample(key string) sample { return sample{key: key, label: NoLabel, class: classOf(key)} }

// sampleKey is a member's name up to the first dot of its last part.
func sampleKey(name string) string {
	dir, base := path.Split(name)
	key, _, _ := strings.Cut(base, ".")
	return dir + key
}

// maxLabelFile bounds the file of a class, in bytes.
const maxLabelFile = 1 << 10

// eachSample gives an archive's images, each with the class of its sample.
func (s *Source) eachSample(ctx context.Context, f File, yield func(Item) error) error {
	current := newSample("")
	flush := func() error {
		for _, item := range current.images {
			item.Label, item.Class = current.label, current.class
			if err := yield(item); err != nil {
				return err
			}
		}
		return nil
	}
	err := s.eachMember(ctx, f, func(name string, size int64, r io.Reader) error {
		if key := sampleKey(name); key != current.key {
			if err := flush(); err != nil {
				return err
			}
			current = newSample(key)
		}
		if err := current.add(f.Key, name, size, r); err != nil {
			return fmt.Errorf("%s: %s: %w", f.Key, name, err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return flush()
}

// maxSampleImages bounds the images of one key, which are in memory together.
const maxSampleImages = 64

// add takes a member into its sample.
func (p *sample) add(archive, name string, size int64, r io.Reader) error {
	switch {
	case decode.IsImage(name):
		if len(p.images) == maxSampleImages {
			return fmt.Errorf("more than %d images have names that are the same up to the first dot", maxSampleImages)
		}
		content, err := readAll(r)
		if err != nil {
			return err
		}
		p.images = append(p.images, Item{Name: archive + ": " + name, Size: size, Load: loaded(content)})
	case path.Ext(name) == ".cls":
		text, err := io.ReadAll(io.LimitReader(r, maxLabelFile))
		if err != nil {
			return err
		}
		p.label, p.class = labelOf(strings.TrimSpace(string(text)))
	}
	return nil
}

// labelOf reads a class that is written as its number or as its name.
func labelOf(text string) (label int, class string) {
	if n, err := strconv.ParseInt(text, 10, 31); err == nil && n >= 0 {
		return int(n), ""
	}
	return NoLabel, text
}

// openCIFARTar reads CIFAR-10's archive. The batches lie in it in another order than
// their numbers', so it is gone through once for each.
func (s *Source) openCIFARTar(ctx context.Context, archive File) error {
	var members []File
	err := s.eachMember(ctx, archive, func(name string, size int64, _ io.Reader) error {
		if ending(".bin")(name) {
			members = append(members, File{Key: name, Size: size})
		}
		return nil
	})
	if err != nil {
		return err
	}
	batches, err := findCIFAR(members, false)
	if err != nil {
		return err
	}
	s.Form, s.Files, s.Shape, s.Classes, s.Cut = "CIFAR-10", []File{archive}, CIFARShape(), cifarClasses(), true
	for _, b := range batches {
		s.Images += int(b.Size / cifarRecord)
	}
	s.each = func(ctx context.Context, yield func(Item) error) error {
		for _, b := range batches {
			if err := s.eachOfMember(ctx, archive, b, yield); err != nil {
				return err
			}
		}
		return nil
	}
	return nil
}

func (s *Source) eachOfMember(ctx context.Context, archive, member File, yield func(Item) error) error {
	err := s.eachMember(ctx, archive, func(name string, size int64, r io.Reader) error {
		if name != member.Key {
			return nil
		}
		in, err := NewInput(ctx, archive.Key+": "+name, io.NopCloser(r), size)
		if err != nil {
			return err
		}
		if err := yieldCIFAR(in, in.name, yield); err != nil {
			return err
		}
		return errFound
	})
	if err == nil {
		return fmt.Errorf("%s has no %s any more", archive.Key, member.Key)
	}
	if errors.Is(err, errFound) {
		return nil
	}
	return err
}
