package access

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/ddpm-cluster/ddpm-cluster/internal/pki"
	"github.com/ddpm-cluster/ddpm-cluster/internal/token"
)

const (
	// leastLeft is how long the default token must be good for yet to be kept.
	leastLeft = time.Hour
	// lookEvery is how often it is looked at: several times while the old one is good yet.
	lookEvery = leastLeft / 4
)

// DefaultToken gives the token of the join command: the one in the file, if it
// still lets machines in for a while, or a new one, which the file holds then.
func (d *Door) DefaultToken(ctx context.Context, path string) (string, error) {
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("the token for workers: %w", err)
	}
	if t, err := token.Parse(strings.TrimSpace(string(text))); err == nil {
		k, err := d.config.Tokens.Find(ctx, t.ID())
		if err == nil && t.Is(k.Hash) && !k.Revoked && time.Until(k.Expires) > leastLeft {
			return t.Reveal(), nil
		}
	}
	t, _, err := create(ctx, d.config.Tokens, TokenLife, "made by the coordinator")
	if err == nil {
		err = pki.WritePrivate(path, []byte(t.Reveal()+"\n"))
	}
	if err != nil {
		return "", fmt.Errorf("the token for workers: %w", err)
	}
	return t.Reveal(), nil
}

// KeepDefaultToken has the file hold a token that lets machines in, until ctx ends: who
// reads it when it starts may start at any time of a run. text is what it holds.
func (d *Door) KeepDefaultToken(ctx context.Context, path, text string) {
	look := time.NewTicker(d.config.Look)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
		now, err := d.DefaultToken(ctx, path)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			d.config.Log.Warn("can't see to the file with the token for workers; it is tried again", "after", d.config.Look, "err", err)
		case now != text:
			d.config.Log.Info("the file has another token for workers", "file", path)
			text = now
		}
	}
}
