package checkpoint

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/ddpm-cluster/ddpm-cluster/storage"
)

// maxRun bounds, in bytes, what is read as a run's config.
const maxRun = 1 << 20

// ErrNoConfig says that a run has checkpoints and no run.json, as a copy of a run that was
// cut off has: nobody knows with what config they were trained.
var ErrNoConfig = errors.New("checkpoints without run.json")

// CreateRun writes run.json, once: storage.ErrExists where the run has another one,
// ErrNoConfig where checkpoints are there already. To train on from those would make weights
// that are no function of the new config, and to keep only the newest would delete them.
func CreateRun(ctx context.Context, st storage.Store, run string, data []byte) error {
	there, err := ReadRun(ctx, st, run)
	switch {
	case err == nil && bytes.Equal(there, data):
		return nil
	case err == nil:
		return fmt.Errorf("%s in %s: %w", RunKey(run), st, storage.ErrExists)
	case !errors.Is(err, storage.ErrNotFound):
		return err
	}
	if err := CheckNew(ctx, st, run); err != nil {
		return err
	}
	_, err = st.PutIfAbsent(ctx, RunKey(run), bytes.NewReader(data), int64(len(data)), "application/json")
	if errors.Is(err, storage.ErrExists) {
		// It is this call's own where the answer to a first attempt was lost.
		if there, rerr := ReadRun(ctx, st, run); rerr == nil && bytes.Equal(there, data) {
			return nil
		}
	}
	return err
}

// CheckNew refuses a run that has no run.json and yet has checkpoints: ErrNoConfig.
func CheckNew(ctx context.Context, st storage.Store, run string) error {
	orphans, err := st.List(ctx, CheckpointsPrefix(run))
	if err != nil || len(orphans) == 0 {
		return err
	}
	return fmt.Errorf("run %s in %s: %w: %s is there; copy the run's run.json there too, or choose another --run", run, st, ErrNoConfig, orphans[0].Key)
}

// ReadRun reads run.json. storage.ErrNotFound where there is no such run.
func ReadRun(ctx context.Context, st storage.Store, run string) ([]byte, error) {
	if err := ValidRunName(run); err != nil {
		return nil, err
	}
	return readAll(ctx, st, RunKey(run), maxRun)
}

// ConfigHash is the SHA-256 of run.json, as manifests have it. storage.ErrNotFound where there
// is no such run.
func ConfigHash(ctx context.Context, st storage.Store, run string) (string, error) {
	data, err := ReadRun(ctx, st, run)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:]), nil
}
