package storage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/minio/minio-go/v7"
)

// s3 is a Store in a bucket, below a prefix.
type s3 struct {
	loc       location
	transport *http.Transport
	client    *minio.Core
	// claims says that the server does not honour If-None-Match, as Probe found out:
	// create-only writes claim the key first.
	claims atomic.Bool
	// claimWork is the constant, which tests shorten.
	claimWork time.Duration
}

// wholePut is the largest object that goes up in one request. It is kept in
// memory meanwhile, since a request is only repeated where its body can be read
// again; minio-go does the same with the parts of a larger object.
const wholePut = 16 << 20

const awsEndpoint = "s3.amazonaws.com"

func openS3(loc location) (Store, error) {
	transport, err := newTransport(!loc.insecure, stallLimit)
	if err != nil {
		return nil, fmt.Errorf("storage %s: %w", loc, err)
	}
	return newS3(loc, transport, 0)
}

// newS3 makes a Store that tries each request so many times; 0 is minio-go's own
// number, which takes some ten seconds.
func newS3(loc location, transport *http.Transport, tries int) (*s3, error) {
	endpoint := loc.endpoint
	if endpoint == "" {
		endpoint = awsEndpoint
	}
	client, err := minio.NewCore(endpoint, &minio.Options{
		Creds:      credentialsOf(loc),
		Secure:     !loc.insecure,
		Transport:  counting{transport},
		Region:     loc.region,
		MaxRetries: tries,
	})
	if err != nil {
		return nil, fmt.Errorf("storage %s: %w", loc, err)
	}
	return &s3{loc: loc, transport: transport, client: client, claimWork: claimWork}, nil
}

func (s *s3) String() string { return s.loc.String() }

// fail names the operation and the object, and turns the server's codes into the
// package's errors.
func (s *s3) fail(op, key string, err error) error {
	var answer minio.ErrorResponse
	if errors.As(err, &answer) {
		switch answer.Code {
		case minio.NoSuchKey:
			err = ErrNotFound
		case minio.PreconditionFailed:
			err = ErrExists
		}
	}
	rights := rightsOfWriters
	if op == "get" || op == "list" {
		rights = rightsOfReaders
	}
	return fmt.Errorf("storage %s: %s %s: %w", s, op, key, failure{err, s, rights})
}

// object is a key's name in the bucket.
func (s *s3) object(key string) string { return path.Join(s.loc.prefix, key) }

func (s *s3) Get(ctx context.Context, key string) (io.ReadCloser, Info, error) {
	return s.get(ctx, key, minio.GetObjectOptions{})
}

func (s *s3) get(ctx context.Context, key string, opts minio.GetObjectOptions) (io.ReadCloser, Info, error) {
	if err := checkKey(key); err != nil {
		return nil, Info{}, s.fail("get", key, err)
	}
	body, info, _, err := s.client.GetObject(ctx, s.loc.bucket, s.object(key), opts)
	if err != nil {
		return nil, Info{}, s.fail("get", key, err)
	}
	return body, Info{Key: key, Size: info.Size, ModTime: info.LastModified}, nil
}

func (s *s3) GetRange(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error) {
	var opts minio.GetObjectOptions
	if offset < 0 || length < 1 || opts.SetRange(offset, offset+length-1) != nil {
		return nil, s.fail("get", key, mistakef("no range: %d bytes from %d", length, offset))
	}
	body, info, err := s.get(ctx, key, opts)
	if err != nil {
		return nil, err
	}
	// A server cuts a range at the object's end.
	if info.Size != length {
		err = mistakef("%d bytes came, not %d from %d", info.Size, length, offset)
		return nil, s.fail("get", key, errors.Join(err, body.Close()))
	}
	return body, nil
}

func (s *s3) Put(ctx context.Context, key string, r io.Reader, size int64, contentType string) (Info, error) {
	info, err := s.put(ctx, key, r, size, minio.PutObjectOptions{ContentType: contentType})
	if err != nil {
		return Info{}, s.fail("put", key, err)
	}
	return info, nil
}

// conflicts is how often a create-only write is repeated where the server says that
// another one is under way: AWS does, and answers the repetition for good.
const conflicts = 8

// conflict is that answer's code.
const conflict = "ConditionalRequestConflict"

func (s *s3) PutIfAbsent(ctx context.Context, key string, r io.Reader, size int64, contentType string) (Info, error) {
	body := make([]byte, size)
	_, err := io.ReadFull(&sized{ctx: ctx, r: r, size: size, left: size}, body)
	var info Info
	switch {
	case err != nil:
	case s.claims.Load():
		info, err = s.createClaimed(ctx, key, body, contentType)
	default:
		info, err = s.create(ctx, key, body, contentType)
	}
	if err != nil {
		return Info{}, s.fail("put if absent", key, err)
	}
	return info, nil
}

// create writes an object where the server lets only one writer do so.
func (s *s3) create(ctx context.Context, key string, body []byte, contentType string) (info Info, err error) {
	opts := minio.PutObjectOptions{ContentType: contentType, DisableMultipart: true}
	opts.SetMatchETagExcept("*") // sent as If-None-Match
	for n := 1; err == nil; n++ {
		info, err = s.sendWhole(ctx, key, body, opts)
		if n == conflicts || minio.ToErrorResponse(err).Code != conflict {
			break
		}
		err = pause(ctx, time.Duration(n)*50*time.Millisecond)
	}
	return info, err
}

// sendTries is how often a large body is sent, about as often as minio-go sends others.
const sendTries = 8

// sendWhole sends a body in one request. A large one has a reader for each try: minio-go would
// take one back to its start that the connection of the try before may be reading still,
// where the server has answered before all had come.
func (s *s3) sendWhole(ctx context.Context, key string, body []byte, opts minio.PutObjectOptions) (info Info, err error) {
	if len(body) <= wholePut {
		return s.send(ctx, key, bytes.NewReader(body), int64(len(body)), opts)
	}
	for n := 1; err == nil; n++ {
		once := struct{ io.Reader }{bytes.NewReader(body)}
		info, err = s.send(ctx, key, once, int64(len(body)), opts)
		if err == nil || n == sendTries || ctx.Err() != nil || !mayPass(err) {
			break
		}
		err = pause(ctx, time.Duration(n)*100*time.Millisecond)
	}
	return info, err
}

// pause waits, and fails where ctx ends before.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// put sends what can be read once.
func (s *s3) put(ctx context.Context, key string, r io.Reader, size int64, opts minio.PutObjectOptions) (Info, error) {
	r = &sized{ctx: ctx, r: r, size: size, left: size}
	if size <= wholePut {
		body := make([]byte, size)
		if _, err := io.ReadFull(r, body); err != nil {
			return Info{}, err
		}
		r = bytes.NewReader(body)
	}
	return s.send(ctx, key, r, size, opts)
}

// send writes an object. A request is repeated where r is one that minio-go can seek
// in, or where it cuts the object into parts, which it keeps.
func (s *s3) send(ctx context.Context, key string, r io.Reader, size int64, opts minio.PutObjectOptions) (Info, error) {
	if err := checkKey(key); err != nil {
		return Info{}, err
	}
	up, err := s.client.Client.PutObject(ctx, s.loc.bucket, s.object(key), r, size, opts)
	if err != nil {
		return Info{}, err
	}
	return Info{Key: key, Size: size, ModTime: up.LastModified}, nil
}

func (s *s3) List(ctx context.Context, prefix string) ([]Info, error) {
	all, err := s.list(ctx, prefix)
	if err != nil {
		return nil, s.fail("list", prefix, err)
	}
	return slices.DeleteFunc(all, func(i Info) bool { return hidden(i.Key) }), nil
}

// list is List with what is hidden.
func (s *s3) list(ctx context.Context, prefix string) ([]Info, error) {
	if err := checkPrefix(prefix); err != nil {
		return nil, err
	}
	root := ""
	if s.loc.prefix != "" {
		root = s.loc.prefix + "/"
	}
	var infos []Info
	opts := minio.ListObjectsOptions{Prefix: root + prefix, Recursive: true}
	for o := range s.client.ListObjectsIter(ctx, s.loc.bucket, opts) {
		if o.Err != nil {
			return nil, o.Err
		}
		key := strings.TrimPrefix(o.Key, root)
		// Tools that imitate folders put objects whose names end with a slash.
		if checkKey(key) != nil {
			continue
		}
		infos = append(infos, Info{Key: key, Size: o.Size, ModTime: o.LastModified})
	}
	// The iterator ends without a word when the context is over.
	return infos, ctx.Err()
}

func (s *s3) Delete(ctx context.Context, key string) error {
	err := checkKey(key)
	if err == nil {
		err = s.client.Client.RemoveObject(ctx, s.loc.bucket, s.object(key), minio.RemoveObjectOptions{})
	}
	if err != nil {
		return s.fail("delete", key, err)
	}
	return nil
}
