package ingest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/dataset/packed"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/dataset/raw"
)

// progressKey is the object, below the dataset's place, that says how far an import is.
const progressKey = "import.json"

// maxProgress bounds it, in bytes.
const maxProgress = 64 << 20

// progress is how far an import is: the content of import.json.
type progress struct {
	Format   int      `json:"format"`
	From     string   `json:"from"`
	Settings Settings `json:"settings"`
	// Source tells the source from others of the same place and of the same Names; "" where
	// Names do, and where it was written before there was such a field.
	Source string `json:"source,omitempty"`
	// Images counts those of the source that have been gone through, Broken those
	// of them that were left out.
	Images int `json:"images"`
	Broken int `json:"broken"`
	// Names is a SHA-256 over the images so far, each with the hash before it.
	Names   packed.Hash     `json:"names"`
	Classes []string        `json:"classes,omitempty"`
	Objects []packed.Object `json:"objects"`
	// Damaged, where it is not "", says how the source turned out not to be what was
	// once written, which shows at its end: the objects may be of wrong bytes, and
	// a whole source must not be imported behind them.
	Damaged string `json:"damaged,omitempty"`
}

// note counts an image.
func (p *progress) note(i raw.Item) {
	p.Images++
	p.Names = sha256.Sum256(fmt.Appendf(p.Names[:], "%q %d", i.Name, i.Size))
}

// same compares what the source has now with what it had.
func (p progress) same(now progress, i *Import) error {
	if now.Images == p.Images && now.Names == p.Names {
		return nil
	}
	return fmt.Errorf("dataset %s: it has changed since its import into %s was interrupted; remove %s there and all beside it to begin anew", i.From, i.Store, i.key(progressKey))
}

// source says which source it is. Images that are cut out of a file have numbers for names
// and no sizes: another file of the same name has the same.
func (i *Import) source() string {
	if i.Content != "" || !i.Source.Cut {
		return i.Content
	}
	h := sha256.New()
	for _, f := range i.Source.Files {
		h.Write(fmt.Appendf(nil, "%q %d %d\n", f.Key, f.Size, f.Written))
	}
	return hex.EncodeToString(h.Sum(nil))
}

func (i *Import) key(name string) string { return path.Join(i.Prefix, name) }

// readProgress reads how far an earlier import came; nowhere, if there is none.
func (i *Import) readProgress(ctx context.Context) (progress, error) {
	p := progress{Format: packed.Format, From: i.From, Settings: i.Settings, Source: i.source()}
	text, err := i.Store.Read(ctx, i.key(progressKey), maxProgress)
	if errors.Is(err, fs.ErrNotExist) {
		return p, nil
	}
	if err != nil {
		return progress{}, err
	}
	var before progress
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&before); err != nil {
		return progress{}, fmt.Errorf("%s in %s is damaged: %w; remove it to begin anew", i.key(progressKey), i.Store, err)
	}
	if before.Damaged != "" {
		return progress{}, fmt.Errorf("the source of the import into %s in %s was damaged (%s); remove %s there and all beside it to begin anew",
			i.Prefix, i.Store, before.Damaged, i.key(progressKey))
	}
	if before.Format != p.Format || before.From != p.From || before.Settings != p.Settings {
		return progress{}, fmt.Errorf("another import into %s in %s was interrupted (of %s, %+v); finish it first, choose another name, or remove %s there and all beside it",
			i.Prefix, i.Store, before.From, before.Settings, i.key(progressKey))
	}
	if before.Source != "" && before.Source != p.Source {
		return progress{}, fmt.Errorf("dataset %s: its files have other names, sizes or times than when its import into %s was interrupted; remove %s there and all beside it to begin anew",
			i.From, i.Store, i.key(progressKey))
	}
	before.Source = p.Source
	return before, nil
}

func (i *Import) writeProgress(ctx context.Context, p progress) error {
	text, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("encode %s: %w", progressKey, err)
	}
	return i.Store.Write(ctx, i.key(progressKey), append(text, '\n'), "application/json")
}

// distrust keeps a later import from going on with what this one wrote, where it ended
// because its source is damaged.
func (t *taker) distrust(ctx context.Context, why error) error {
	if !errors.Is(why, raw.ErrDamaged) || len(t.progress.Objects) == 0 {
		return why
	}
	t.progress.Damaged = why.Error()
	if err := t.run.writeProgress(ctx, t.progress); err != nil {
		return errors.Join(why, err)
	}
	return fmt.Errorf("%w; then remove %s in %s and all beside it, which was imported of the damaged one", why, t.run.key(progressKey), t.run.Store)
}
