package coordinator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/ddpm-cluster/ddpm-cluster/coordinator/config"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm"
	"github.com/ddpm-cluster/ddpm-cluster/storage"
)

// dryRun prints what a start with these settings would do. It writes nowhere else.
func dryRun(ctx context.Context, c *config.Config, plan config.Plan, w io.Writer) error {
	existing, err := existingSpec(ctx, c.Storage, plan.Run)
	var note string
	switch {
	case errors.Is(err, storage.ErrNotFound):
	case err != nil: // the settings are well by themselves
		note = fmt.Sprintf("# Whether run %s exists is not known: %s\n\n", plan.Run, OneLine(storage.Advised(err)))
	default:
		if plan, err = c.Continue(existing); err != nil {
			return UsageError{err}
		}
		note = fmt.Sprintf("# Run %s exists: it goes on with its own config.\n\n", plan.Run)
	}
	if _, err := io.WriteString(w, note); err != nil {
		return err
	}
	return c.Print(w, plan)
}

// lookLimit bounds how long a dry run looks for the run in the Store.
const lookLimit = 10 * time.Second

// existingSpec opens the Store for a look at a run; storage.ErrNotFound where there
// is none.
func existingSpec(ctx context.Context, uri, run string) (ddpm.Spec, error) {
	ctx, cancel := context.WithTimeout(ctx, lookLimit)
	defer cancel()
	st, err := storage.Open(ctx, uri)
	if err != nil {
		return ddpm.Spec{}, err
	}
	return readSpec(ctx, st, run)
}
