package sampling

import (
	"context"
	"fmt"
	"io"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/dataset"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/dataset/packed"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/evaluate"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/sampler/job"
	"github.com/ddpm-cluster/ddpm-cluster/storage"
)

// heldOut is the dataset that was measured on last.
type heldOut struct {
	name string
	data dataset.Dataset
}

// openEvaluation finds what a lease of an evaluation is about. The task that makes the
// report reads no images.
func (w *worker) openEvaluation(ctx context.Context, t *task) error {
	j, err := evaluate.Decode(t.lease.GetEvaluation())
	if err != nil {
		return fault{err}
	}
	t.eval = &j
	if t.model, err = w.model(ctx, t.store, ref{j.Run, j.Step, j.Digest}); err != nil || t.lease.GetFiles() {
		return err
	}
	t.data, err = w.dataset(ctx, t.store, t.model.spec, j)
	return err
}

// dataset opens the images of a job, once for all its tasks.
func (w *worker) dataset(ctx context.Context, store storage.Store, spec ddpm.Spec, j evaluate.Job) (dataset.Dataset, error) {
	want := ddpm.Want(spec.Model)
	name := fmt.Sprintf("%s %s %s %+v", store, j.Dataset, j.DatasetDigest, want)
	if w.images.name == name {
		return w.images.data, nil
	}
	data, err := OpenHeldOut(context.WithoutCancel(ctx), store, spec, j.Dataset) // it outlives the task
	if err != nil {
		return nil, fmt.Errorf("this machine can't read the images to measure on: %w; give images that all machines see, such as a dataset in the Store (ddpmctl data import)", err)
	}
	if data.Digest() != j.DatasetDigest {
		closeImages(data)
		return nil, fmt.Errorf("the dataset at %s on this machine has digest %s, and the job was submitted for %s", j.Dataset, data.Digest(), j.DatasetDigest)
	}
	w.closeImages()
	w.images = heldOut{name, data}
	return data, nil
}

// closeImages ends what the dataset has under way.
func (w *worker) closeImages() {
	closeImages(w.images.data)
	w.images = heldOut{}
}

func closeImages(data dataset.Dataset) {
	if c, ok := data.(io.Closer); ok {
		_ = c.Close() // it was only read
	}
}

// OpenHeldOut opens images for a run's model, of any place that training reads from. The
// caller closes what is an io.Closer.
func OpenHeldOut(ctx context.Context, store storage.Store, spec ddpm.Spec, uri string) (dataset.Dataset, error) {
	places := dataset.Places{
		Stores: func(ctx context.Context, uri string) (packed.Store, error) { return storage.OpenBlobs(ctx, uri) },
		Run:    storage.AsBlobs(store),
	}
	return places.Open(ctx, uri, ddpm.Want(spec.Model))
}

// measure measures on the task's images and stores each one's result. Those that are
// stored already, by whomever, are not measured again.
func (t *task) measure(ctx context.Context, progress func(job.Progress)) error {
	part := evaluate.Task{First: int(t.lease.GetFirst()), Count: int(t.lease.GetCount())}
	if err := t.eval.Check(part); err != nil {
		return fault{err}
	}
	runner := evaluate.NewRunner(t.model.spec, t.model.model, t.data, t.model.batch)
	for i := range part.Count {
		image := part.First + i
		there, err := t.has(ctx, evaluate.ResultName(image))
		if err != nil {
			return err
		}
		done := func(of int) { progress(job.Progress{Done: i*t.eval.Terms + of, Of: part.Count * t.eval.Terms}) }
		if there {
			done(t.eval.Terms)
			continue
		}
		began := time.Now()
		results, err := runner.Run(ctx, *t.eval, evaluate.Task{First: image, Count: 1}, func(n, _ int) { done(n) })
		t.stages.add("passes", began, err)
		if err != nil {
			return owned(ctx, err)
		}
		text, err := results[0].Encode()
		if err != nil {
			return fault{err}
		}
		began = time.Now()
		err = t.put(ctx, evaluate.ResultName(image), text)
		t.stages.add("store", began, err)
		if err != nil {
			return err
		}
	}
	return nil
}

// report makes the report of all results.
func (t *task) report(ctx context.Context) error {
	results := make([]evaluate.Result, t.eval.N)
	g, reading := errgroup.WithContext(ctx)
	g.SetLimit(transfers)
	for i := range results {
		g.Go(func() error {
			text, err := t.get(reading, evaluate.ResultName(i))
			if err != nil {
				return err
			}
			results[i], err = evaluate.DecodeResult(text)
			return faulty(err)
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	report, err := evaluate.Reduce(*t.eval, t.model.spec.Diffusion.Steps, results)
	if err != nil {
		return fault{err}
	}
	text, err := report.Encode()
	if err != nil {
		return fault{err}
	}
	return t.put(ctx, evaluate.ReportName, text)
}
