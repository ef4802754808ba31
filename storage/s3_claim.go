package storage

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"path"
	"time"

	"github.com/minio/minio-go/v7"
)

// Create-only on a server that does not honour If-None-Match, which asks only that
// what was written is there for whoever lists or gets after it.
//
// A writer puts a claim, an empty hidden object beside the key with a name of its
// own, and then lists the key's claims. If its own is the only one, it looks whether
// the key is there, writes it if not, and deletes the claim; otherwise it deletes
// its claim and tries again after a random time. Of two writers the one whose claim
// came second sees the first's for as long as that one writes, so no two write at
// the same time. A writer that died leaves its claim: others pass over one that is
// claimLife older than their own, by the server's clock. A writer that takes long writes
// its claim again, which makes it new; one that could not for claimWork gives up, long
// before others pass over it.

// claimLife is how long a claim counts, claimWork how long its writer goes on without having
// renewed it. In between is what a last request may be late by.
const (
	claimLife = 10 * time.Minute
	claimWork = 3 * time.Minute
	// removeLimit bounds the removal of a hidden object.
	removeLimit = time.Minute
	// claimTries bounds how often a writer meets others.
	claimTries = 60
)

// createClaimed is create under a claim.
func (s *s3) createClaimed(ctx context.Context, key string, body []byte, contentType string) (Info, error) {
	if err := checkKey(key); err != nil {
		return Info{}, err
	}
	for range claimTries {
		c, won, err := s.claim(ctx, key)
		if err != nil {
			return Info{}, err
		}
		if won {
			info, err := c.whileHeld(ctx, func(ctx context.Context) (Info, error) {
				return s.createAlone(ctx, key, body, contentType)
			})
			return info, errors.Join(err, c.release(ctx))
		}
		if err := c.release(ctx); err != nil {
			return Info{}, err
		}
		if err := pause(ctx, randomUpTo(500*time.Millisecond)); err != nil {
			return Info{}, err
		}
	}
	return Info{}, errors.New("other writers claim it without an end")
}

// createAlone writes an object that is not there, for a writer that is alone.
func (s *s3) createAlone(ctx context.Context, key string, body []byte, contentType string) (Info, error) {
	_, err := s.client.StatObject(ctx, s.loc.bucket, s.object(key), minio.StatObjectOptions{})
	if err == nil {
		return Info{}, ErrExists
	}
	if code := minio.ToErrorResponse(err).Code; code != minio.NoSuchKey && code != "NotFound" {
		return Info{}, err
	}
	return s.sendWhole(ctx, key, body, minio.PutObjectOptions{ContentType: contentType, DisableMultipart: true})
}

// claim is an object that says that its writer may be writing a key.
type claim struct {
	store *s3
	key   string
	// written is when its last writing began: the server dates it then, or later.
	written time.Time
}

// claim puts a claim on a key and says whether it is the only one. It is there until it is
// released, unless there is an error.
func (s *s3) claim(ctx context.Context, key string) (c *claim, won bool, err error) {
	dir, base := path.Split(key)
	prefix := fmt.Sprintf("%s%sclaim-%s/", dir, tempPrefix, base)
	c = &claim{store: s, key: prefix + rand.Text()}
	if err := c.write(ctx); err != nil {
		return nil, false, err
	}
	won, err = c.alone(ctx, prefix)
	if err != nil {
		return nil, false, errors.Join(err, c.release(ctx))
	}
	return c, won, nil
}

// alone says whether no other claim counts.
func (c *claim) alone(ctx context.Context, prefix string) (bool, error) {
	claims, err := c.store.list(ctx, prefix)
	if err != nil {
		return false, err
	}
	var mine time.Time
	for _, other := range claims {
		if other.Key == c.key {
			mine = other.ModTime
		}
	}
	if mine.IsZero() {
		return false, errors.New("the server does not list what was just written, which create-only needs")
	}
	for _, other := range claims {
		if other.Key != c.key && mine.Sub(other.ModTime) < claimLife {
			return false, nil
		}
	}
	return true, nil
}

// write writes the claim, anew if it is there.
func (c *claim) write(ctx context.Context) error {
	began := time.Now()
	_, err := c.store.put(ctx, c.key, bytes.NewReader(nil), 0, minio.PutObjectOptions{ContentType: "text/plain"})
	if err == nil {
		c.written = began
	}
	return err
}

// release deletes the claim.
func (c *claim) release(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), removeLimit)
	defer cancel()
	s := c.store
	return s.client.Client.RemoveObject(ctx, s.loc.bucket, s.object(c.key), minio.RemoveObjectOptions{})
}

// randomUpTo keeps writers that met from meeting again.
func randomUpTo(most time.Duration) time.Duration {
	n, err := rand.Int(rand.Reader, big.NewInt(int64(most)))
	if err != nil {
		return most // which crypto/rand never does
	}
	return time.Duration(n.Int64())
}

// learn finds out whether the server honours If-None-Match, and returns the same
// Store with few tries for each request.
func (s *s3) learn(ctx context.Context, log *slog.Logger) (Store, error) {
	impatient, err := newS3(s.loc, s.transport, probeTries)
	if err != nil {
		return nil, err
	}
	honours, err := impatient.honours(ctx)
	if err != nil || honours {
		return impatient, err
	}
	impatient.claims.Store(true)
	s.claims.Store(true)
	log.Warn("the server lets a second writer replace what only one may create, so keys are claimed by objects of their own; "+
		"one that honours If-None-Match, such as MinIO or AWS, does without", "storage", s.String())
	return impatient, nil
}

// honours writes a hidden object twice, create-only, and says whether the second
// write was refused.
func (s *s3) honours(ctx context.Context) (honours bool, err error) {
	key := tempPrefix + "probe-" + rand.Text()
	refused := func() (bool, error) {
		_, err := s.create(ctx, key, nil, "text/plain")
		switch minio.ToErrorResponse(err).Code {
		case minio.PreconditionFailed:
			return true, nil
		case "NotImplemented":
			return false, nil
		}
		if err != nil {
			return false, fmt.Errorf("can't write: %w", err)
		}
		return false, nil
	}
	// A refusal of the first is a lost answer: nobody else knows the key.
	if _, err := refused(); err != nil {
		return false, err
	}
	if honours, err = refused(); err != nil {
		return false, err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), removeLimit)
	defer cancel()
	if err := s.client.Client.RemoveObject(ctx, s.loc.bucket, s.object(key), minio.RemoveObjectOptions{}); err != nil {
		return false, fmt.Errorf("can't delete: %w", err)
	}
	return honours, nil
}
