package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/dataset/ingest"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/dataset/packed"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/dataset/raw"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/dataset/resize"
)

type importFlags struct {
	storage  string
	settings ingest.Settings
	threads  int
	asJSON   bool
}

func dataImportCommand(stdout, stderr io.Writer) *cobra.Command {
	var f importFlags
	c := &cobra.Command{
		Use:   "import SRC DST",
		Short: "Import a dataset of any common form",
		Long: "Import reads MNIST IDX files, CIFAR-10's binary version, a folder or tar of images, webdataset shards,\n" +
			"an npz with arr_0, Hugging Face parquet files, or LSUN's LMDB, from a path or s3:// URI, and writes the\n" +
			"packed form: to --storage where DST is a name, else to the path or s3:// URI. When it is stopped, the\n" +
			"same command goes on.",
		Example: "  ddpmctl data import photos/ flowers --size 64\n" +
			"  ddpmctl data import cifar-10-binary.tar.gz 's3://data/cifar10?endpoint=minio:9000'\n" +
			"  ddpmctl data import 's3://lsun/bedroom?endpoint=minio:9000' bedroom --size 256 --skip-broken",
		Args: func(c *cobra.Command, args []string) error {
			if len(args) != 2 {
				return usageError{fmt.Errorf("give two arguments, SRC and DST; see %s --help", c.CommandPath())}
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error { return f.run(c, args[0], args[1], stdout, stderr) },
	}
	storageFlag(c, &f.storage)
	c.Flags().IntVar(&f.settings.Size, "size", 0, "height and width of the images, in pixels (default: the source's, where all of its images have one size)")
	c.Flags().IntVar(&f.settings.Channels, "channels", 0, "1 (grey) or 3 (colour) (default: the source's, else 3)")
	c.Flags().StringVar(&f.settings.Rule, "resize", resize.BoxBicubic, "how images of another size become the size: "+strings.Join(resize.Rules(), ", "))
	c.Flags().BoolVar(&f.settings.SkipBroken, "skip-broken", false, "leave out images that can't be read, instead of ending at the first")
	threadsFlag(c.Flags(), &f.threads, "`threads` that decode")
	c.Flags().BoolVar(&f.asJSON, "json", false, "print the result as JSON")
	return c
}

func (f *importFlags) run(c *cobra.Command, src, dst string, stdout, stderr io.Writer) error {
	ctx := c.Context()
	if f.threads < 1 {
		return usageError{fmt.Errorf("--threads %d: must be at least 1", f.threads)}
	}
	to, err := findData(ctx, f.storage, dst)
	if err != nil {
		return err
	}
	source, err := raw.Locate(ctx, src, openData)
	if err != nil {
		return err
	}
	if err := f.fill(source); err != nil {
		return usageError{err}
	}
	if err := to.store.Probe(ctx, slog.New(slog.NewTextHandler(stderr, nil))); err != nil {
		return err
	}
	i := ingest.Import{
		Source: source, From: source.Place(), Settings: f.settings,
		Store: to.store, Prefix: to.prefix, Threads: f.threads,
		Progress: countingBar(stderr, "importing", "images"),
		Broken:   func(name string, why error) { fmt.Fprintf(stderr, "left out %s: %v\n", name, why) },
	}
	m, err := i.Run(ctx)
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		return interruptedError{errors.New("interrupted; the same command goes on where it was")}
	}
	if errors.Is(err, ingest.ErrExists) {
		return f.existing(ctx, to, err)
	}
	if err != nil {
		return err
	}
	return describe(to, m).print(stdout, f.asJSON)
}

// existing says what is at the place where the dataset should have gone.
func (f *importFlags) existing(ctx context.Context, to dataPlace, err error) error {
	m, merr := packed.ReadManifest(ctx, to.store, to.prefix)
	if merr != nil {
		return err
	}
	return fmt.Errorf("%w (%d images of %v from %s, digest %s)", err, m.Count, m.Shape, m.Source, m.Digest)
}

// fill fills in what the source says itself.
func (f *importFlags) fill(source *raw.Source) error {
	s := source.Shape
	if f.settings.Size == 0 {
		if s.Height != s.Width || s.Height == 0 {
			return errors.New("--size is needed: the height and width of the images, in pixels")
		}
		f.settings.Size = s.Height
	}
	if f.settings.Channels == 0 {
		f.settings.Channels = 3
		if s.Channels != 0 {
			f.settings.Channels = s.Channels
		}
	}
	return f.settings.Validate()
}

// countingBar shows on a terminal how many of something are done, and nothing elsewhere;
// nil there.
func countingBar(stderr io.Writer, what, unit string) func(done, of int) {
	s := screenOf(stderr)
	if s == nil {
		return nil
	}
	var bar *progressbar.ProgressBar
	return func(done, of int) {
		s.draw(func() {
			if bar == nil {
				if of == 0 {
					of = -1 // a spinner
				}
				bar = progressbar.NewOptions(of, progressbar.OptionSetWriter(s.w), progressbar.OptionSetDescription(what),
					progressbar.OptionShowCount(), progressbar.OptionShowIts(), progressbar.OptionSetItsString(unit),
					progressbar.OptionSetPredictTime(true), progressbar.OptionClearOnFinish())
			}
			_ = bar.Set(done) // a bar that can't be drawn is no reason to stop
		})
	}
}
