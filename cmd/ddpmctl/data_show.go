package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/dataset/packed"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/rng"
	"github.com/ddpm-cluster/ddpm-cluster/internal/picture"
	"github.com/ddpm-cluster/ddpm-cluster/storage"
)

func dataListCommand(stdout io.Writer) *cobra.Command {
	var in string
	var asJSON bool
	c := &cobra.Command{
		Use:     "list",
		Example: "  ddpmctl data list --json",
		Short:   "List the datasets of a Store",
		Args:    noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			store, err := storage.OpenBlobs(c.Context(), in)
			if err != nil {
				return usageError{err}
			}
			return listData(c.Context(), store, stdout, c.ErrOrStderr(), asJSON)
		},
	}
	storageFlag(c, &in)
	c.Flags().BoolVar(&asJSON, "json", false, "print as JSON")
	return c
}

// listData lists the datasets that have names. One that can't be read is told of, and
// the others are listed.
func listData(ctx context.Context, store storage.Blobs, stdout, stderr io.Writer, asJSON bool) error {
	list := []described{}
	err := store.Walk(ctx, packed.Folder+"/", func(key string, _, _ int64) error {
		prefix, ok := strings.CutSuffix(key, "/"+packed.ManifestKey)
		if !ok || path.Dir(prefix) != packed.Folder {
			return nil
		}
		m, err := packed.ReadManifest(ctx, store, prefix)
		if err != nil {
			fmt.Fprintf(stderr, "ddpmctl: %v\n", err)
			return ctx.Err()
		}
		list = append(list, describe(dataPlace{store, prefix}, m))
		return nil
	})
	if err != nil {
		return err
	}
	if asJSON {
		return printJSON(stdout, list)
	}
	if len(list) == 0 {
		fmt.Fprintf(stderr, "%s holds no dataset; import one by ddpmctl data import\n", store)
		return nil
	}
	w := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tIMAGES\tSHAPE\tCLASSES\tSIZE\tFROM")
	for _, d := range list {
		classes := "-" // labels may have no names, or there are none
		if n := len(d.Classes); n > 0 {
			classes = strconv.Itoa(n)
		}
		fmt.Fprintf(w, "%s\t%d\t%v\t%s\t%s\t%s\n", d.Name, d.Count, d.Shape, classes, megabytes(d.Bytes), d.Source)
	}
	return w.Flush()
}

// maxShown bounds a picture of examples.
const maxShown = 4096

type showFlags struct {
	storage string
	out     string
	n       int
	seed    uint64
	asJSON  bool
}

func dataShowCommand(stdout io.Writer) *cobra.Command {
	var f showFlags
	c := &cobra.Command{
		Use:     "show DATASET",
		Short:   "Describe a dataset, and draw examples of it into a PNG",
		Example: "  ddpmctl data show flowers --out flowers.png\n  ddpmctl data show 's3://data/cifar10?endpoint=minio:9000' --json",
		Args:    one("a dataset's name, path or URI"),
		RunE:    func(c *cobra.Command, args []string) error { return f.run(c.Context(), args[0], stdout) },
	}
	storageFlag(c, &f.storage)
	c.Flags().StringVar(&f.out, "out", "", "the PNG to write (default: none)")
	c.Flags().IntVar(&f.n, "n", 64, "how many examples to draw")
	c.Flags().Uint64Var(&f.seed, "seed", 0, "which examples: another seed draws others")
	c.Flags().BoolVar(&f.asJSON, "json", false, "print as JSON")
	return c
}

func (f *showFlags) run(ctx context.Context, which string, stdout io.Writer) error {
	if f.n < 1 || f.n > maxShown {
		return usageError{fmt.Errorf("--n %d: must be in 1 … %d", f.n, maxShown)}
	}
	if f.out != "" && filepath.Ext(f.out) != ".png" {
		return usageError{fmt.Errorf("--out %s: the name must end in .png", f.out)}
	}
	p, err := findData(ctx, f.storage, which)
	if err != nil {
		return err
	}
	r, err := packed.Open(ctx, p.store, p.prefix, packed.Options{})
	if err != nil {
		return noSuchData(err)
	}
	defer closing(ctx, r)()
	if f.out != "" {
		if err := f.draw(r); err != nil {
			return err
		}
	}
	return describe(p, r.Manifest()).print(stdout, f.asJSON)
}

// noSuchData adds what to do.
func noSuchData(err error) error {
	if errors.Is(err, packed.ErrNone) {
		return fmt.Errorf("%w; see ddpmctl data list", err)
	}
	return err
}

// draw draws examples from all over the dataset.
func (f *showFlags) draw(r *packed.Reader) error {
	m := r.Manifest()
	if m.Shape.Height != m.Shape.Width {
		return fmt.Errorf("images of %v are not square, and can't be drawn", m.Shape)
	}
	order := rng.NewPermutation(f.seed, 0, uint64(m.Count))
	examples := make([]int, min(f.n, m.Count))
	for k := range examples {
		examples[k] = int(order.At(uint64(k)))
	}
	r.Ahead(examples)
	images := make([][]uint8, len(examples))
	for k, i := range examples {
		images[k] = make([]uint8, m.Shape.Bytes())
		if err := r.Example(i, images[k]); err != nil {
			return err
		}
	}
	png, err := picture.Grid(images, m.Shape.Height, m.Shape.Channels)
	if err != nil {
		return err
	}
	return writePicture(f.out, png)
}

func dataVerifyCommand(stdout, stderr io.Writer) *cobra.Command {
	var in string
	var asJSON bool
	c := &cobra.Command{
		Use:     "verify DATASET",
		Example: "  ddpmctl data verify flowers",
		Short:   "Read a whole dataset and compare every SHA-256",
		Args:    one("a dataset's name, path or URI"),
		RunE: func(c *cobra.Command, args []string) error {
			ctx := c.Context()
			p, err := findData(ctx, in, args[0])
			if err != nil {
				return err
			}
			m, err := packed.ReadManifest(ctx, p.store, p.prefix)
			if err != nil {
				return noSuchData(err)
			}
			bar, done := countingBar(stderr, "verifying", "objects"), 0
			err = packed.Verify(ctx, p.store, p.prefix, m, func(int64) {
				if done++; bar != nil {
					bar(done, len(m.Objects))
				}
			})
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(stdout, describe(p, m))
			}
			fmt.Fprintf(stdout, "%s: %d images of %v are whole, digest %s\n", p, m.Count, m.Shape, m.Digest)
			return nil
		},
	}
	storageFlag(c, &in)
	c.Flags().BoolVar(&asJSON, "json", false, "print as JSON")
	return c
}
