package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/dustin/go-humanize/english"
	"github.com/spf13/cobra"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/dataset/packed"
	"github.com/ddpm-cluster/ddpm-cluster/storage"
)

func dataCommand(stdout, stderr io.Writer) *cobra.Command {
	c := &cobra.Command{
		Use:     "data",
		Example: "  ddpmctl data import photos/ flowers --size 64\n  ddpmctl data list",
		Short:   "Import datasets into a Store, and look at those that are there",
		Long: "Data imports datasets into the packed form that workers read from a folder or from S3, and lists,\n" +
			"shows and verifies those that are there. A dataset is named by its name in --storage, or by a path\n" +
			"or URI of its own.",
		Args: ownCommands,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(dataImportCommand(stdout, stderr), dataListCommand(stdout), dataShowCommand(stdout), dataStepCommand(stdout), dataVerifyCommand(stdout, stderr))
	return c
}

// storageFlag is the Store whose datasets have names.
func storageFlag(c *cobra.Command, value *string) {
	c.Flags().StringVar(value, "storage", "ddpm-data", "where datasets with a name are: a folder or `URI`, s3://bucket/prefix?endpoint=HOST:PORT")
}

// dataPlace is where a packed dataset is.
type dataPlace struct {
	store  storage.Blobs
	prefix string
}

// findData resolves a dataset's name in the Store, or its own path or URI.
func findData(ctx context.Context, in, which string) (p dataPlace, err error) {
	uri := which
	if packed.ValidName(which) {
		uri, p.prefix = in, packed.Prefix(which)
	} else if name, ok := strings.CutPrefix(which, "store://"); ok {
		if !packed.ValidName(name) {
			return p, usageError{fmt.Errorf("%q is no name of a dataset", name)}
		}
		uri, p.prefix = in, packed.Prefix(name)
	}
	if _, err := storage.Canonical(uri); err != nil {
		return p, usageError{err}
	}
	p.store, err = storage.OpenBlobs(ctx, uri)
	return p, err
}

// openData opens a place by its URI.
func openData(ctx context.Context, uri string) (packed.Store, error) {
	return storage.OpenBlobs(ctx, uri)
}

// closing closes a dataset at the command's end, or where that is interrupted: a Store that
// is away would be waited for.
func closing(ctx context.Context, data any) (end func()) {
	c, ok := data.(io.Closer)
	if !ok {
		return func() {}
	}
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	return func() {
		stop()
		_ = c.Close() // it was only read
	}
}

func (p dataPlace) String() string {
	if p.prefix == "" {
		return p.store.String()
	}
	return path.Base(p.prefix) + " in " + p.store.String()
}

// one takes the only argument.
func one(what string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) != 1 {
			return usageError{fmt.Errorf("give one argument, %s; see %s --help", what, c.CommandPath())}
		}
		return nil
	}
}

// described is a manifest as people and programs are shown it: without its objects.
type described struct {
	Name    string       `json:"name"`
	Place   string       `json:"place"`
	Shape   packed.Shape `json:"shape"`
	Count   int          `json:"count"`
	Bytes   int64        `json:"bytes"`
	Objects int          `json:"objects"`
	Digest  string       `json:"digest"`
	Classes []string     `json:"classes,omitempty"`
	Resize  string       `json:"resize,omitempty"`
	Source  string       `json:"source,omitempty"`
	Broken  int          `json:"broken,omitempty"`
}

func describe(p dataPlace, m packed.Manifest) described {
	d := described{
		Name: path.Base(p.prefix), Place: p.store.String(),
		Shape: m.Shape, Count: m.Count, Objects: len(m.Objects), Digest: m.Digest,
		Classes: m.Classes, Resize: m.Resize, Source: m.Source, Broken: m.Broken,
	}
	if p.prefix == "" {
		d.Name = ""
	}
	for _, o := range m.Objects {
		d.Bytes += o.Size
	}
	return d
}

// print writes the description, as lines or as JSON.
func (d described) print(w io.Writer, asJSON bool) error {
	if asJSON {
		return printJSON(w, d)
	}
	if d.Name != "" {
		fmt.Fprintf(w, "name     %s\n", d.Name)
	}
	fmt.Fprintf(w, "place    %s\nimages   %d of %v, %s in %s\n", d.Place, d.Count, d.Shape, megabytes(d.Bytes), english.Plural(d.Objects, "object", ""))
	if len(d.Classes) > 0 {
		fmt.Fprintf(w, "classes  %d: %s\n", len(d.Classes), someNames(d.Classes))
	}
	if d.Source != "" {
		fmt.Fprintf(w, "from     %s, by %s\n", d.Source, d.Resize)
	}
	if d.Broken > 0 {
		fmt.Fprintf(w, "broken   %d images were left out\n", d.Broken)
	}
	_, err := fmt.Fprintf(w, "digest   %s\n", d.Digest)
	return err
}

// someNames lists the first names.
func someNames(names []string) string {
	const most = 12
	if len(names) > most {
		return strings.Join(names[:most], ", ") + ", …"
	}
	return strings.Join(names, ", ")
}

func megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
