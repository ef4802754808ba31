package worker

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/dataset"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/dataset/packed"
	"github.com/ddpm-cluster/ddpm-cluster/storage"
)

// openDataset opens the run's dataset on this machine, which keeps at most cache bytes
// of one that lies elsewhere. The caller closes it by closeDataset.
func openDataset(ctx context.Context, spec ddpm.Spec, store storage.Store, cache int64) (dataset.Dataset, error) {
	places := dataset.Places{
		Stores: func(ctx context.Context, uri string) (packed.Store, error) { return storage.OpenBlobs(ctx, uri) },
		Run:    storage.AsBlobs(store),
		Packed: packed.Options{Cache: cacheFolder(), CacheBytes: cache, Clock: monotonic()},
	}
	data, err := places.Open(ctx, spec.Dataset, ddpm.Want(spec.Model))
	if err != nil {
		return nil, err
	}
	if data.Digest() != spec.DatasetDigest || data.Len() != spec.DatasetLen {
		closeDataset(data)
		return nil, fmt.Errorf("the dataset at %s on this machine differs from the run's: %d examples with digest %s, not %d with %s; copy the coordinator's dataset here",
			spec.Dataset, data.Len(), data.Digest(), spec.DatasetLen, spec.DatasetDigest)
	}
	labels, err := ddpm.LabelsDigest(spec, data)
	if err == nil && labels != spec.LabelsDigest {
		err = fmt.Errorf("the dataset at %s on this machine has other labels than the run's: digest %s, not %s; copy the coordinator's dataset here",
			spec.Dataset, labels, spec.LabelsDigest)
	}
	if err != nil {
		closeDataset(data)
		return nil, err
	}
	return data, nil
}

// closeDataset ends what a dataset has under way.
func closeDataset(data dataset.Dataset) {
	if c, ok := data.(io.Closer); ok {
		_ = c.Close() // it was only read
	}
}

// monotonic returns a clock in nanoseconds.
func monotonic() func() int64 {
	from := time.Now()
	return func() int64 { return int64(time.Since(from)) }
}

const (
	// aheadSteps and aheadExamples are how far ahead of the step the dataset is
	// read: two batches, more where a batch has few examples for this worker, and one
	// step at least where a step has many batches.
	aheadSteps, aheadExamples = 2, 32
)

// readAhead names to the dataset the examples that the member's shards need in this
// step and in those that follow.
func (t *trainer) readAhead() {
	data, ok := t.run.data.(dataset.Ahead)
	if !ok {
		return
	}
	t.mu.Lock()
	now, g := t.todo, t.generation
	t.mu.Unlock()
	examples := t.examples(nil, t.step, now)
	if n := int(g.self.GetShards()); n > 0 {
		usual := make([]int, n)
		for i := range usual {
			usual[i] = int(g.self.GetFirstShard()) + i
		}
		batches := uint64(max(aheadSteps, aheadExamples/(n*t.run.spec.ShardSize)))
		last := t.step + max(1, batches/t.run.spec.Batches())
		for s := t.step + 1; s <= last && s < g.lastStep(); s++ {
			examples = t.examples(examples, s, usual)
		}
	}
	data.Ahead(examples)
}

// examples appends the numbers of the examples of a step's shards, in the order in
// which they are computed: shard by shard, or group by group.
func (t *trainer) examples(to []int, step uint64, shards []int) []int {
	for len(shards) > 0 {
		n := t.together(shards)
		for i := range int(t.run.spec.Batches()) {
			plan := ddpm.PlanBatch(t.run.spec, step, i)
			for _, v := range shards[:n] {
				for _, e := range plan.Shard(v) {
					to = append(to, int(e.Index))
				}
			}
		}
		shards = shards[n:]
	}
	return to
}

// reportInput logs how long the training waited for its dataset, where it can be made
// to wait. from is when it began.
func (t *trainer) reportInput(from time.Time) {
	if _, ok := t.run.data.(dataset.Ahead); ok {
		t.log.Info("waited for the dataset", "seconds", t.run.inputWait().Seconds(), "of", time.Since(from).Seconds())
	}
}

// inputWait is how long the training waited for its dataset so far.
func (r *run) inputWait() time.Duration {
	if data, ok := r.data.(dataset.Ahead); ok {
		return time.Duration(data.Waited())
	}
	return 0
}
