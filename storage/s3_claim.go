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
// claimLife older than their own, by the server's clock, and its writer has given up
// long before.

// claimLife is how long a claim counts; a writer that holds one writes for
// claimWork at most. In between is what a last request may be late by.
const (
	claimLife = 10 * time.Minute
	claimWork = time.Minute
	// claimTries bounds how often a writer meets others.
	claimTries = 60
)

// createClaimed is create under a claim.
func (s *s3) createClaimed(ctx context.Context, key string, body []byte, contentType string) (Info, error) {
	if err := checkKey(key); err != nil {
		return Info{}, err
	}
	for range claimTries {
		won, release, err := s.claim(ctx, key)
		if err != nil {
			return Info{}, err
		}
		if won {
			ctx, cancel := context.WithTimeout(ctx, claimWork)
			defer cancel()
			info, err := s.createAlone(ctx, key, body, contentType)
			return info, errors.Join(err, release())
		}
		if err := release(); err != nil {
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
	return s.send(ctx, key, bytes.NewReader(body), int64(len(body)), minio.PutObjectOptions{ContentType: contentType, DisableMultipart: true})
}

// claim puts a claim on a key and says whether it is the only one; release deletes
// it.
func (s *s3) claim(ctx context.Context, key string) (won bool, release func() error, err error) {
	dir, base := path.Split(key)
	prefix := fmt.Sprintf("%s%sclaim-%s/", dir, tempPrefix, base)
	own := prefix + rand.Text()
	if _, err := s.put(ctx, own, bytes.NewReader(nil), 0, minio.PutObjectOptions{ContentType: "text/plain"}); err != nil {
		return false, nil, err
	}
	release = func() error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), claimWork)
		defer cancel()
		return s.client.Client.RemoveObject(ctx, s.loc.bucket, s.object(own), minio.RemoveObjectOptions{})
	}
	claims, err := s.list(ctx, prefix)
	if err != nil {
		return false, nil, errors.Join(err, release())
	}
	var mine time.Time
	for _, c := range claims {
		if c.Key == own {
			mine = c.ModTime
		}
	}
	if mine.IsZero() {
		return false, nil, errors.Join(errors.New("the server does not list what was just written, which create-only needs"), release())
	}
	for _, c := range claims {
		if c.Key != own && mine.Sub(c.ModTime) < claimLife {
			return false, release, nil
		}
	}
	return true, release, nil
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
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), claimWork)
	defer cancel()
	if err := s.client.Client.RemoveObject(ctx, s.loc.bucket, s.object(key), minio.RemoveObjectOptions{}); err != nil {
		return false, fmt.Errorf("can't delete: %w", err)
	}
	return honours, nil
}
