package dataset

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"

	"golang.org/x/sync/errgroup"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/dataset/ingest"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/dataset/packed"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/dataset/raw"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/dataset/resize"
)

// Importing says how Open imports what it can't read as it lies.
type Importing struct {
	// Threads decode; at least 1.
	Threads int
	Log     *slog.Logger
}

// importedFolder has, of each source, which dataset it was imported as.
const importedFolder = packed.Folder + "/imported"

// imported is what a note of an import says.
type imported struct {
	Source string `json:"source"`
	Name   string `json:"name"`
}

// importRaw imports a dataset of any form into the run's Store, once, and opens it
// there. Its name is made of its content and of what the model wants, so that the same
// files in another place are not imported again; a note keeps that content from
// being read at every start, as long as the files' names, sizes and times are the same.
func (p Places) importRaw(ctx context.Context, uri string, want Want) (Dataset, error) {
	source, err := raw.Locate(ctx, uri, p.Stores)
	if err != nil {
		return nil, err
	}
	settings := ingest.Settings{Size: want.Size, Channels: want.Channels, Rule: resize.BoxBicubic}
	note := fmt.Sprintf("%s/%s.json", importedFolder, name(fmt.Sprintf("%q %q %+v %v", source.Place(), source.Form, settings, source.Files)))
	if text, err := p.Run.Read(ctx, note, 1<<16); err == nil {
		var n imported
		if json.Unmarshal(text, &n) == nil {
			if d, err := p.openNamed(ctx, n.Name, want); err == nil || !errors.Is(err, packed.ErrNone) {
				return d, err
			}
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	content, err := contentOf(ctx, source)
	if err != nil {
		return nil, err
	}
	n := imported{Source: source.Place(), Name: "auto-" + name(fmt.Sprintf("%q %+v %s", source.Form, settings, content))}
	if err := p.importAs(ctx, source, settings, content, n.Name); err != nil {
		return nil, err
	}
	text, err := json.MarshalIndent(n, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", note, err)
	}
	if err := p.Run.Write(ctx, note, append(text, '\n'), "application/json"); err != nil {
		return nil, err
	}
	return p.openNamed(ctx, n.Name, want)
}

// name is a short name for a text.
func name(text string) string {
	h := sha256.Sum256([]byte(text))
	return hex.EncodeToString(h[:8])
}

// importAs imports the source of the content, unless a dataset of the name is there.
func (p Places) importAs(ctx context.Context, source *raw.Source, settings ingest.Settings, content, name string) error {
	log := p.Import.Log
	log.Info("importing the dataset, once", "from", source.Place(), "form", source.Form, "as", name, "images", source.Images)
	i := ingest.Import{
		Source: source, From: source.Place(), Content: content, Settings: settings,
		Store: p.Run, Prefix: packed.Prefix(name), Threads: p.Import.Threads,
	}
	every := max(10000, source.Images/10)
	next := every
	i.Progress = func(images, of int) {
		if images >= next {
			next += every
			log.Info("importing the dataset", "images", images, "of", of)
		}
	}
	m, err := i.Run(ctx)
	if errors.Is(err, ingest.ErrExists) {
		return nil
	}
	if err == nil {
		log.Info("imported the dataset", "images", m.Count, "digest", m.Digest)
	}
	return err
}

// contentOf is a SHA-256 over the names and contents of a source's files.
func contentOf(ctx context.Context, source *raw.Source) (string, error) {
	sums := make([][sha256.Size]byte, len(source.Files))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(8)
	for k, f := range source.Files {
		group.Go(func() error {
			r, _, err := source.Stream(ctx, f)
			if err != nil {
				return err
			}
			defer r.Close()
			h := sha256.New()
			if _, err := io.Copy(h, r); err != nil {
				return fmt.Errorf("read %s: %w", f.Key, err)
			}
			h.Sum(sums[k][:0])
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return "", err
	}
	all := sha256.New()
	for k, f := range source.Files {
		all.Write(fmt.Appendf(nil, "%q %x\n", f.Key, sums[k]))
	}
	return hex.EncodeToString(all.Sum(nil)), nil
}
