package access

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/ddpm-cluster/ddpm-cluster/coordinator/registry"
	"github.com/ddpm-cluster/ddpm-cluster/internal/token"
)

// maxTokenFile bounds what is read of a token's file.
const maxTokenFile = 1 << 10

// GivenToken makes the token in a file one that lets workers in until somebody
// revokes it: whoever wrote the file, such as an installer with a secret, keeps it.
// A token that is revoked stays so; the log says it, since the run can go on without.
func (d *Door) GivenToken(ctx context.Context, path string) (string, error) {
	t, err := readGiven(path)
	if err == nil {
		err = d.keep(ctx, t)
	}
	if err != nil {
		return "", fmt.Errorf("--join-token-file %s: %w", path, err)
	}
	return t.Reveal(), nil
}

func readGiven(path string) (token.Token, error) {
	info, err := os.Stat(path)
	if err != nil {
		return token.Token{}, err
	}
	if info.Size() > maxTokenFile {
		return token.Token{}, fmt.Errorf("it has %d bytes, which is no token", info.Size())
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return token.Token{}, err
	}
	return token.Parse(strings.TrimSpace(string(text)))
}

// keep keeps the token's hash. Another coordinator with the same file may be
// quicker, so what is there is looked at once more.
func (d *Door) keep(ctx context.Context, t token.Token) error {
	now := time.Now().UTC().Truncate(time.Second)
	created := d.config.Tokens.Create(ctx, registry.Token{
		ID: t.ID(), Hash: t.Hash(), Description: "given by --join-token-file", Created: now, Expires: now.Add(longestLife),
	})
	if created == nil {
		return nil
	}
	k, err := d.config.Tokens.Find(ctx, t.ID())
	switch {
	case errors.Is(err, registry.ErrNoToken):
		return created
	case err != nil:
		return err
	case !t.Is(k.Hash):
		return fmt.Errorf("another token has the id %s; put one with another id there", t.ID())
	case k.Revoked || time.Now().After(k.Expires):
		d.config.Log.Warn("the token of --join-token-file lets nobody in any more; put another there and start again", "token", t.ID(), "revoked", k.Revoked)
	}
	return nil
}
