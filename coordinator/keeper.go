package coordinator

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/ddpm-cluster/ddpm-cluster/coordinator/core"
	"github.com/ddpm-cluster/ddpm-cluster/coordinator/report"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm"
	"github.com/ddpm-cluster/ddpm-cluster/internal/picture"
	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
	"github.com/ddpm-cluster/ddpm-cluster/storage"
	"github.com/ddpm-cluster/ddpm-cluster/storage/checkpoint"
)

// storePatience is how long a Store that fails is tried again for an object, before
// the checkpoint that it is for is given up.
const storePatience = 10 * time.Minute

// keeper writes the coordinator's share of a run to the Store: pictures,
// manifests and metrics.
type keeper struct {
	// store takes nothing from a coordinator that does not lead any more.
	store   storage.Store
	run     string
	spec    ddpm.Spec
	config  string // the hash of its run.json
	metrics *checkpoint.MetricsLog
	// retention says which checkpoints stay once another one is complete.
	retention checkpoint.Retention
	board     *board // nil without --tensorboard
	log       *slog.Logger
}

// metric keeps a completed step for the next flush.
func (k *keeper) metric(step report.Line) error {
	line, err := json.Marshal(step)
	if err != nil {
		return fmt.Errorf("metrics of step %d: %w", step.Step, err)
	}
	k.board.step(step)
	return k.metrics.Append(step.Step, line)
}

// publish completes a checkpoint of which every part is stored: the picture, the
// metrics so far, and last the manifest.
func (k *keeper) publish(ctx context.Context, e core.Publish, parts []*ddpmv1.PartSaved) error {
	m := checkpoint.Manifest{
		Run: k.run, Step: e.Step, Digest: e.Digest,
		Params: int64(k.spec.Model.ParamCount()), Parts: len(parts), Config: k.config,
	}
	var previews []*ddpmv1.Preview
	for _, p := range parts {
		previews = append(previews, p.GetPreviews()...)
		for _, o := range p.GetObjects() {
			m.Objects = append(m.Objects, checkpoint.Object{Key: o.GetKey(), Size: o.GetSize(), SHA256: o.GetSha256()})
		}
	}
	samples, err := k.samples(ctx, e.Step, previews)
	if err != nil {
		return err
	}
	summary, err := k.summary(ctx, e)
	if err != nil {
		return err
	}
	m.Objects = append(append(m.Objects, samples...), summary)
	if err := k.metrics.Flush(ctx); err != nil {
		return err
	}
	return checkpoint.Publish(ctx, k.store, m)
}

// retain deletes what the run does not keep. What can't be deleted now goes after
// the next checkpoint.
func (k *keeper) retain(ctx context.Context) {
	gone, err := checkpoint.Retain(ctx, k.store, k.run, k.retention)
	if len(gone) > 0 {
		k.log.Info("deleted old checkpoints", "steps", gone)
	}
	if err != nil {
		k.log.Warn("old checkpoints could not be deleted; they go after the next one", "err", err)
	}
}

// summary stores how the run stands, for people who browse the bucket.
func (k *keeper) summary(ctx context.Context, e core.Publish) (checkpoint.Object, error) {
	text, err := json.MarshalIndent(struct {
		Run     string        `json:"run"`
		Step    uint64        `json:"step"`
		Images  uint64        `json:"images"` // seen so far
		Loss    report.Number `json:"loss"`   // of the step
		Digest  string        `json:"digest"`
		Params  int           `json:"params"`
		Preset  string        `json:"preset"`
		Dataset string        `json:"dataset"`
		Seed    uint64        `json:"seed"`
	}{
		k.run, e.Step, e.Step * k.spec.Batches() * uint64(k.spec.Batch), report.Number(e.Loss), e.Digest,
		k.spec.Model.ParamCount(), k.spec.Preset, k.spec.Dataset, k.spec.Seed,
	}, "", "  ")
	if err != nil {
		return checkpoint.Object{}, fmt.Errorf("metrics of step %d: %w", e.Step, err)
	}
	return checkpoint.WriteObject(ctx, k.store, k.run, e.Step, checkpoint.SummaryKey, "application/json", append(text, '\n'))
}

// samples stores the picture of the previews, in the order of their numbers.
func (k *keeper) samples(ctx context.Context, step uint64, previews []*ddpmv1.Preview) ([]checkpoint.Object, error) {
	if len(previews) == 0 {
		return nil, nil
	}
	slices.SortFunc(previews, func(a, b *ddpmv1.Preview) int { return int(a.GetIndex()) - int(b.GetIndex()) })
	images := make([][]uint8, len(previews))
	for i, p := range previews {
		images[i] = p.GetPixels()
	}
	png, err := picture.Grid(images, k.spec.Model.Size, k.spec.Model.InChannels)
	if err != nil {
		return nil, fmt.Errorf("picture of step %d: %w", step, err)
	}
	k.board.picture(step, png, k.spec.Model.InChannels)
	o, err := checkpoint.WriteObject(ctx, k.store, k.run, step, checkpoint.SamplesKey, "image/png", png)
	if err != nil {
		return nil, err
	}
	return []checkpoint.Object{o}, nil
}

// place is where people find a checkpoint.
func (k *keeper) place(step uint64) string {
	return k.store.String() + "/" + checkpoint.StepPrefix(k.run, step)
}
