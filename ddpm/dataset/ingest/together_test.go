package ingest_test

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"testing"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/dataset/packed"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/dataset/resize"
)

// hooked calls before as a writer is about to create an object.
type hooked struct {
	packed.Store
	before func(key string) error
}

func (h hooked) Create(ctx context.Context, key string, content []byte, contentType string) error {
	if err := h.before(key); err != nil {
		return err
	}
	return h.Store.Create(ctx, key, content, contentType)
}

// Of two imports of different images to one name, the first to publish keeps what it
// published, and the other one is refused, whichever object it was at.
func TestTwoImportsToOneName(t *testing.T) {
	ours, theirs := archive(t, 30, never), archive(t, 90, never)
	for at, secondWins := range map[string]bool{"datasets/x/images-00000.bin": false, "datasets/x/dataset.json": true} {
		to := store(t, t.TempDir())
		var won, lost packed.Manifest
		var wonErr, lostErr error
		second := newImport(t, theirs, hooked{to, func(key string) error {
			if key == at {
				won, wonErr = newImport(t, ours, to, 1).Run(t.Context())
			}
			return nil
		}}, 1)
		lost, lostErr = second.Run(t.Context())
		if secondWins {
			won, wonErr, lost, lostErr = lost, lostErr, won, wonErr
		}
		if wonErr != nil || lostErr == nil || !strings.Contains(lostErr.Error(), "images-00000.bin") || !strings.Contains(lostErr.Error(), "choose another name") {
			t.Errorf("at %s: the one says %v, the other %v", at, wonErr, lostErr)
		}
		there, err := packed.ReadManifest(t.Context(), to, "datasets/x")
		if err != nil || there.Digest != won.Digest || lost.Digest != "" {
			t.Errorf("at %s: %s is there, not %s: %v", at, there.Digest, won.Digest, err)
		}
		if err := packed.Verify(t.Context(), to, "datasets/x", there, nil); err != nil {
			t.Errorf("at %s: %v", at, err)
		}
	}
}

// Two imports of the same images to one name are one, wherever the images lie.
func TestTwoImportsOfTheSame(t *testing.T) {
	ours, theirs := archive(t, 30, never), archive(t, 30, never)
	to := store(t, t.TempDir())
	var first packed.Manifest
	second := newImport(t, theirs, hooked{to, func(key string) (err error) {
		if strings.HasSuffix(key, ".bin") {
			first, err = newImport(t, ours, to, 1).Run(t.Context())
		}
		return err
	}}, 1)
	second.From = "there"
	m, err := second.Run(t.Context())
	if err != nil || m.Digest != first.Digest {
		t.Fatalf("digest %s, want %s: %v", m.Digest, first.Digest, err)
	}
	if err := packed.Verify(t.Context(), to, "datasets/x", m, nil); err != nil {
		t.Error(err)
	}
}

// What an import wrote before it died is taken by the same one, and by no other.
func TestObjectOfADeadImport(t *testing.T) {
	dir := archive(t, 30, never)
	to := store(t, t.TempDir())
	died := errors.New("died")
	dead := newImport(t, dir, hooked{to, func(key string) error {
		if strings.HasSuffix(key, packed.ManifestKey) {
			return died
		}
		return nil
	}}, 1)
	if _, err := dead.Run(t.Context()); !errors.Is(err, died) {
		t.Fatal(err)
	}
	other := newImport(t, dir, to, 1)
	other.Settings.Rule = resize.Box // other bytes, as many
	_, err := other.Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "choose another name") || !strings.Contains(err.Error(), "remove") {
		t.Errorf("another import: %v", err)
	}
	if _, err := packed.ReadManifest(t.Context(), to, "datasets/x"); !errors.Is(err, packed.ErrNone) {
		t.Errorf("it published: %v", err)
	}
	if _, err := to.Read(t.Context(), "datasets/x/import.json", 1<<20); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it left an import.json: %v", err)
	}
	m, err := newImport(t, dir, to, 1).Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := packed.Verify(t.Context(), to, "datasets/x", m, nil); err != nil {
		t.Error(err)
	}
}
