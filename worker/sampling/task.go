package sampling

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"path"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/dataset"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/evaluate"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/sampler/job"
	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
	"github.com/ddpm-cluster/ddpm-cluster/storage"
)

// transfers is how many objects are on their way at once.
const transfers = 8

// maxObject bounds what is read of an image or its frames.
const maxObject = 1 << 30

// task is one lease with what it is about: images to draw, or to measure on.
type task struct {
	lease *ddpmv1.Lease
	store storage.Store
	model *model

	job  job.Job
	eval *evaluate.Job // nil for a job that draws
	data dataset.Dataset

	// stages are what it has done so far.
	stages *stages
}

// open finds what the lease is about.
func (w *worker) open(ctx context.Context, l *ddpmv1.Lease) (t *task, err error) {
	t = &task{lease: l}
	if t.store, err = w.store(ctx, l.GetStorage()); err != nil {
		return nil, err
	}
	if len(l.GetEvaluation()) > 0 {
		return t, w.openEvaluation(ctx, t)
	}
	if t.job, err = job.Decode(l.GetJob()); err != nil {
		return nil, fault{err}
	}
	if t.model, err = w.model(ctx, t.store, ref{t.job.Run, t.job.Step, t.job.Digest}); err != nil {
		return nil, err
	}
	return t, faulty(t.job.Validate(t.model.spec))
}

// do does the task, or finds that somebody has done it.
func (t *task) do(ctx context.Context, progress func(job.Progress)) error {
	switch {
	case t.eval != nil && t.lease.GetFiles():
		return t.report(ctx)
	case t.eval != nil:
		return t.measure(ctx, progress)
	case t.lease.GetFiles():
		return t.files(ctx)
	}
	return t.draw(ctx, progress)
}

// draw draws the task's images and stores each.
func (t *task) draw(ctx context.Context, progress func(job.Progress)) (err error) {
	part := job.Task{First: int(t.lease.GetFirst()), Count: int(t.lease.GetCount())}
	if err := t.job.Check(part); err != nil {
		return fault{err}
	}
	began := time.Now()
	images, err := job.NewRunner(t.model.spec, t.model.model, t.model.batch).Run(ctx, t.job, part, progress)
	t.stages.add("passes", began, err)
	if err != nil {
		return owned(ctx, err)
	}
	began = time.Now()
	defer func() { t.stages.add("store", began, err) }()
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(transfers)
	for _, im := range images {
		g.Go(func() error {
			if t.job.HasFrames(im.Number) {
				if err := t.put(ctx, job.FramesName(im.Number), job.EncodeFrames(im)); err != nil {
					return err
				}
			}
			return t.putAll(ctx, func(put func(string, []byte) error) error { return job.PutImage(im, t.model.spec.Model, put) })
		})
	}
	return g.Wait()
}

// files makes the job's files of the images, job.json last, and then removes what
// was for them alone.
func (t *task) files(ctx context.Context) error {
	there, err := t.has(ctx, job.JobName)
	if err != nil {
		return err
	}
	if !there {
		images, err := t.images(ctx)
		if err != nil {
			return err
		}
		choice := job.Choice{Grid: t.lease.GetGrid(), NPZ: t.lease.GetNpz()}
		err = t.putAll(ctx, func(put func(string, []byte) error) error {
			return job.Summary(t.job, t.model.spec.Model, images, choice, put)
		})
		if err != nil {
			return err
		}
	}
	for i := range t.job.N {
		if !t.job.HasFrames(i) {
			break
		}
		if err := t.store.Delete(ctx, t.key(job.FramesName(i))); err != nil {
			return err
		}
	}
	return nil
}

// images reads back what the job's tasks have drawn.
func (t *task) images(ctx context.Context) ([]job.Image, error) {
	images := make([]job.Image, t.job.N)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(transfers)
	for i := range images {
		g.Go(func() (err error) {
			images[i], err = t.image(ctx, i)
			return err
		})
	}
	return images, g.Wait()
}

func (t *task) image(ctx context.Context, number int) (job.Image, error) {
	text, err := t.get(ctx, job.ImageName(number))
	if err != nil {
		return job.Image{}, err
	}
	im, err := t.job.ReadImage(text, number, t.model.spec.Classes(), t.model.spec.Model)
	if err != nil || !t.job.HasFrames(number) {
		return im, faulty(err)
	}
	if text, err = t.get(ctx, job.FramesName(number)); err != nil {
		return job.Image{}, err
	}
	im.Frames, err = job.DecodeFrames(text, t.model.spec.Model)
	return im, faulty(err)
}

func faulty(err error) error {
	if err != nil {
		return fault{err}
	}
	return nil
}

// owned is the error of a computation: the task's own, but where the worker ends, the
// Store is away, or what it reads can't be read on this machine.
func owned(ctx context.Context, err error) error {
	if ctx.Err() != nil || errors.Is(err, storage.ErrGaveUp) || unreadable(err) {
		return err
	}
	return faulty(err)
}

// unreadable says that an error is the operating system's or the network's.
func unreadable(err error) bool {
	var network net.Error
	return errors.As(err, new(syscall.Errno)) || errors.As(err, &network) || errors.Is(err, fs.ErrNotExist)
}

// putAll has files made and stores each. That one can't be made is the task's own
// fault; that one can't be stored is not.
func (t *task) putAll(ctx context.Context, encode func(put func(name string, content []byte) error) error) error {
	var storing error
	err := encode(func(name string, content []byte) error {
		storing = t.put(ctx, name, content)
		return storing
	})
	if storing != nil {
		return storing
	}
	return faulty(err)
}

func (t *task) key(name string) string { return t.lease.GetPrefix() + name }

// put stores an object, unless it is there: then it is the same.
func (t *task) put(ctx context.Context, name string, content []byte) error {
	_, err := t.store.PutIfAbsent(ctx, t.key(name), &again{bytes.NewReader(content)}, int64(len(content)), contentType(name))
	if errors.Is(err, storage.ErrExists) {
		return nil
	}
	return err
}

// again is content as a storage.Rewinder.
type again struct{ *bytes.Reader }

// Rewind implements storage.Rewinder.
func (a *again) Rewind() error {
	_, err := a.Seek(0, io.SeekStart)
	return err
}

func contentType(name string) string {
	switch path.Ext(name) {
	case ".png":
		return "image/png"
	case ".json":
		return "application/json"
	}
	return "application/octet-stream"
}

// get reads an object that must be there.
func (t *task) get(ctx context.Context, name string) ([]byte, error) {
	r, info, err := t.store.Get(ctx, t.key(name))
	if errors.Is(err, storage.ErrNotFound) {
		return nil, fault{fmt.Errorf("%s is not in %s any more", t.key(name), t.store)}
	}
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if info.Size > maxObject {
		return nil, fault{fmt.Errorf("%s has %d bytes, which is no image", t.key(name), info.Size)}
	}
	return io.ReadAll(r)
}

// has says whether an object is there.
func (t *task) has(ctx context.Context, name string) (bool, error) {
	r, _, err := t.store.Get(ctx, t.key(name))
	if errors.Is(err, storage.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, r.Close()
}
