package storage

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/minio/minio-go/v7"
)

// bucketRetry is how long MakeBucket waits before it tries again.
const bucketRetry = time.Second

// MakeBucket makes the bucket of an S3 URI unless it is there, and says whether it
// did. A server that does not answer yet is tried again until ctx ends: it may be
// starting. A folder needs nothing.
func MakeBucket(ctx context.Context, uri string) (made bool, err error) {
	loc, err := parse(uri)
	if err != nil || loc.bucket == "" {
		return false, err
	}
	transport, err := newTransport(!loc.insecure, stallLimit)
	if err != nil {
		return false, fmt.Errorf("storage %s: %w", loc, err)
	}
	s, err := newS3(loc, transport, probeTries)
	if err != nil {
		return false, err
	}
	defer transport.CloseIdleConnections()
	for {
		err := s.client.MakeBucket(ctx, loc.bucket, minio.MakeBucketOptions{Region: loc.region})
		var answer minio.ErrorResponse
		switch errors.As(err, &answer); {
		case err == nil:
			return true, nil
		case answer.Code == minio.BucketAlreadyOwnedByYou:
			return false, nil
		case answer.Code == minio.NoSuchBucket: // no server says so of a bucket that it is to make
			return false, fmt.Errorf("storage %s: make the bucket: %w; see that what answers at the endpoint is the S3 server", loc, err)
		case answer.Code != "" && answer.StatusCode < 500:
			return false, fmt.Errorf("storage %s: make the bucket: %w; %s", loc, err, hint(s, err))
		}
		select {
		case <-time.After(bucketRetry):
		case <-ctx.Done():
			return false, fmt.Errorf("storage %s: make the bucket: %w; %s", loc, err, hint(s, err))
		}
	}
}
