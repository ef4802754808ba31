package storage

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// What credentials must be allowed to whom.
const (
	rightsOfReaders = "get and list"
	rightsOfWriters = "get, put, list and delete"
)

// failure is a request's error, with what there is to know for an advice.
type failure struct {
	error
	store  *s3
	rights string // that its operation takes
}

func (f failure) Unwrap() error { return f.error }

// Advised is an error of an S3 Store's operation with what to do about it, for whoever comes to
// it without a Probe. It is the error itself where there is nothing to say, as of an object that
// is not there, or where a Probe has said it.
func Advised(err error) error {
	var f failure
	if !errors.As(err, &f) || errors.Is(err, ErrNotFound) || errors.Is(err, ErrExists) || errors.Is(err, context.Canceled) || errors.As(err, new(mistake)) {
		return err
	}
	if strings.Contains(err.Error(), f.store.hint(err, rightsOfWriters)) {
		return err
	}
	return fmt.Errorf("%w; %s", err, f.store.hint(err, f.rights))
}
