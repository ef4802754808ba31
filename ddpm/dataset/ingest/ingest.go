package ingest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/dataset/packed"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/dataset/raw"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/dataset/resize"
)

// Settings say what an import makes of its source.
type Settings struct {
	// Size is the height and width of the images, in pixels; Channels is 1 or 3.
	Size     int `json:"size"`
	Channels int `json:"channels"`
	// Rule is the resize rule.
	Rule string `json:"rule"`
	// SkipBroken leaves out images that can't be decoded; otherwise the first of
	// them ends the import.
	SkipBroken bool `json:"skip_broken"`
}

// Import is an import under way.
type Import struct {
	Source *raw.Source
	// From is where the source is, for the manifest.
	From string
	// Content, where it is not "", is a hash of all that the source has. It says whether the
	// source is the one of an import that was interrupted; without it, the files' times do,
	// where the images don't tell.
	Content  string
	Settings Settings
	// Store and Prefix are where the dataset is to be.
	Store  packed.Store
	Prefix string
	// Threads decode; at least 1.
	Threads int
	// Progress, which may be nil, hears now and then how many images have been
	// gone through, of how many: 0 where that is not known.
	Progress func(images, of int)
	// Broken, which may be nil, hears of each image that is left out.
	Broken func(name string, why error)
}

// Validate says what is wrong with the settings.
func (s Settings) Validate() error {
	if s.Size < 1 || s.Size > 4096 {
		return fmt.Errorf("size %d: must be in 1 … 4096 pixels", s.Size)
	}
	if s.Channels != 1 && s.Channels != 3 {
		return fmt.Errorf("channels %d: must be 1 (grey) or 3 (colour)", s.Channels)
	}
	return resize.Check(s.Rule)
}

// shape is that of the result.
func (s Settings) shape() packed.Shape {
	return packed.Shape{Height: s.Size, Width: s.Size, Channels: s.Channels}
}

// BrokenError is an image that can't be decoded.
type BrokenError struct {
	Name string
	Err  error
}

// Error implements error.
func (e *BrokenError) Error() string {
	return fmt.Sprintf("image %s: %v; mend or remove it, or leave out such images by --skip-broken", e.Name, e.Err)
}

// Unwrap gives what is wrong.
func (e *BrokenError) Unwrap() error { return e.Err }

// ErrExists says that a dataset is at the place already.
var ErrExists = errors.New("a dataset is there already")

// Run imports, or goes on with an import that was interrupted. ErrExists.
func (i *Import) Run(ctx context.Context) (packed.Manifest, error) {
	if err := i.Settings.Validate(); err != nil {
		return packed.Manifest{}, err
	}
	switch _, err := packed.ReadManifest(ctx, i.Store, i.Prefix); {
	case err == nil:
		return packed.Manifest{}, fmt.Errorf("dataset %s in %s: %w; choose another name, or remove it", i.Prefix, i.Store, ErrExists)
	case !errors.Is(err, packed.ErrNone):
		return packed.Manifest{}, err
	}
	p, err := i.readProgress(ctx)
	if err != nil {
		return packed.Manifest{}, err
	}
	w, err := packed.NewWriter(i.Store, i.Prefix, i.Settings.shape(), p.Objects)
	if err != nil {
		return packed.Manifest{}, fmt.Errorf("%s is damaged: %w; remove it", progressKey, err)
	}
	t := &taker{run: i, writer: w, progress: p, classes: newClasses(p.Classes, i.Source.Classes)}
	if err := i.flow(ctx, t); err != nil {
		return packed.Manifest{}, t.distrust(ctx, err)
	}
	if w.Count() == 0 {
		return packed.Manifest{}, fmt.Errorf("dataset %s: it has no image that can be read", i.From)
	}
	m, err := w.Finish(ctx, packed.Manifest{
		Classes: t.classes.names, Resize: i.Settings.Rule, Source: i.From, Broken: t.progress.Broken,
	})
	if err != nil {
		return packed.Manifest{}, err
	}
	return m, i.Store.Remove(ctx, i.key(progressKey))
}

// taker takes the images in their order.
type taker struct {
	run      *Import
	writer   *packed.Writer
	progress progress
	classes  classes
}

// take takes the next image, or leaves it out.
func (t *taker) take(ctx context.Context, j *job) error {
	t.progress.note(j.item)
	if f := t.run.Progress; f != nil && t.progress.Images%64 == 0 {
		f(t.progress.Images, t.run.Source.Images)
	}
	if j.err != nil {
		if !t.run.Settings.SkipBroken || !errors.As(j.err, new(*BrokenError)) {
			return j.err
		}
		t.progress.Broken++
		if f := t.run.Broken; f != nil {
			f(j.item.Name, errors.Unwrap(j.err))
		}
		return nil
	}
	label, err := t.classes.label(j.item)
	if err != nil {
		return err
	}
	wrote, err := t.writer.Add(ctx, j.pixels, label)
	if err != nil || !wrote {
		return err
	}
	t.progress.Objects, t.progress.Classes = t.writer.Objects(), t.classes.names
	return t.run.writeProgress(ctx, t.progress)
}

// maxClasses bounds the names of classes.
const maxClasses = 1 << 16

// classes number the names of classes as they come, unless the source knows them.
type classes struct {
	names   []string
	numbers map[string]uint32
}

func newClasses(before, known []string) classes {
	c := classes{numbers: make(map[string]uint32)}
	if before == nil {
		before = known
	}
	for _, name := range before {
		c.add(name)
	}
	return c
}

func (c *classes) add(name string) uint32 {
	n := uint32(len(c.names))
	c.names = append(c.names, name)
	c.numbers[name] = n
	return n
}

// label gives an image's label.
func (c *classes) label(i raw.Item) (uint32, error) {
	switch {
	case i.Label > math.MaxInt32:
		return 0, fmt.Errorf("image %s: its label %d is more than %d", i.Name, i.Label, math.MaxInt32)
	case i.Label >= 0:
		return uint32(i.Label), nil
	case i.Class == "":
		return packed.NoLabel, nil
	}
	if n, ok := c.numbers[i.Class]; ok {
		return n, nil
	}
	if len(c.names) == maxClasses {
		return 0, fmt.Errorf("image %s: there are more than %s classes", i.Name, strconv.Itoa(maxClasses))
	}
	return c.add(i.Class), nil
}
