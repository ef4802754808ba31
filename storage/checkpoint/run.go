package checkpoint

import (
	"bytes"
	"context"
	"errors"

	"github.com/ddpm-cluster/ddpm-cluster/storage"
)

// maxRun bounds, in bytes, what is read as a run's config.
const maxRun = 1 << 20

// CreateRun writes run.json, once: storage.ErrExists where the run has another one.
func CreateRun(ctx context.Context, st storage.Store, run string, data []byte) error {
	if err := ValidRunName(run); err != nil {
		return err
	}
	_, err := st.PutIfAbsent(ctx, RunKey(run), bytes.NewReader(data), int64(len(data)), "application/json")
	if errors.Is(err, storage.ErrExists) {
		// It is this call's own where the answer to a first attempt was lost.
		if there, rerr := ReadRun(ctx, st, run); rerr == nil && bytes.Equal(there, data) {
			return nil
		}
	}
	return err
}

// ReadRun reads run.json. storage.ErrNotFound where there is no such run.
func ReadRun(ctx context.Context, st storage.Store, run string) ([]byte, error) {
	if err := ValidRunName(run); err != nil {
		return nil, err
	}
	return readAll(ctx, st, RunKey(run), maxRun)
}
