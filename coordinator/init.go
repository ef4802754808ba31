package coordinator

import (
	"context"
	"errors"
	"fmt"

	"github.com/ddpm-cluster/ddpm-cluster/coordinator/config"
	"github.com/ddpm-cluster/ddpm-cluster/coordinator/initial"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm"
	"github.com/ddpm-cluster/ddpm-cluster/storage"
)

// openInit reads what --init names, if anything, and makes the plan one of a run that
// begins with it.
func openInit(ctx context.Context, c *config.Config, p *config.Plan) (*initial.Source, error) {
	if !c.Given("init") {
		return nil, nil
	}
	source, err := initial.Open(ctx, c.Init, p.Spec.Model.Dropout)
	if err != nil {
		return nil, fmt.Errorf("--init: %w", storage.Advised(err))
	}
	if c.Given("classes") { // the folder's network would take their place unnoticed
		return nil, UsageError{errors.New("--classes: the network in the folder of --init has no classes; leave --classes and --label-dropout out, or train new weights without --init")}
	}
	source.Apply(&p.Spec)
	if err := p.Spec.Validate(); err != nil {
		return nil, UsageError{fmt.Errorf("--init: %w", err)}
	}
	return source, nil
}

// continueInit holds --init against a run that exists.
func (s *start) continueInit(existing ddpm.Spec) error {
	if s.source == nil {
		return nil
	}
	// What the folder leaves open is the run's own, and so is how its images are drawn,
	// which runs of older versions do not say.
	s.source.Model.Dropout = existing.Model.Dropout
	s.source.Diffusion.NoClip = existing.Diffusion.NoClip
	wanted := existing
	s.source.Apply(&wanted)
	if err := config.Conflict(s.plan.Run, wanted, existing); err != nil {
		return UsageError{err}
	}
	return nil
}

// begin makes the checkpoint of step 0 of a run that begins with --init, where it has
// none yet.
func (s *start) begin(ctx context.Context) (err error) {
	switch {
	case s.plan.Spec.Init == "" || s.resumes:
		return nil
	case s.source == nil:
		return fmt.Errorf("run %s begins with imported weights, and has no checkpoint that can be used; give the same --init again", s.plan.Run)
	}
	if s.newest, err = s.source.Publish(ctx, s.store, s.plan.Run); err != nil {
		return err
	}
	s.resumes = true
	s.log.Info("begins with imported weights", "from", s.config.Init, "parameters", len(s.source.Weights), "digest", s.source.Digest[:19])
	return nil
}
