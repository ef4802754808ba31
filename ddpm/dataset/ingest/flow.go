package ingest

import (
	"context"

	"golang.org/x/sync/errgroup"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/dataset/decode"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/dataset/raw"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/dataset/resize"
)

// job is an image on its way from the source to the writer.
type job struct {
	item   raw.Item
	done   chan struct{} // closed when the rest is set
	pixels []byte
	err    error
}

// loaders are goroutines beside those that compute, for a source whose image files are
// fetched one by one over a network: most of them wait.
const loaders = 16

// waiting is how many images may wait for each goroutine.
const waiting = 4

// flow brings the source's images, from where an earlier import ended, to the taker:
// one goroutine reads, several decode, and this order is kept by the queue that the
// taker has of the jobs.
func (i *Import) flow(ctx context.Context, t *taker) error {
	group, ctx := errgroup.WithContext(ctx)
	decoders := i.Threads
	if i.Source.Remote() {
		decoders += loaders
	}
	queue := make(chan *job, waiting*decoders)
	work := make(chan *job)
	group.Go(func() error {
		defer close(queue)
		defer close(work)
		return i.read(ctx, t.progress, queue, work)
	})
	for range decoders {
		group.Go(func() error {
			for j := range work {
				j.pixels, j.err = i.Settings.pixels(ctx, j.item)
				j.item.Load, j.item.Image = nil, resize.Image{} // only the result is needed
				close(j.done)
			}
			return nil
		})
	}
	group.Go(func() error {
		for j := range queue {
			select {
			case <-j.done:
			case <-ctx.Done():
				return ctx.Err()
			}
			if err := t.take(ctx, j); err != nil {
				return err
			}
		}
		return nil
	})
	return group.Wait()
}

// read goes over the source: first over what earlier has been imported, of which it
// makes sure that it is the same, and then it makes jobs.
func (i *Import) read(ctx context.Context, before progress, queue, work chan<- *job) error {
	skipped := progress{}
	err := i.Source.Each(ctx, func(item raw.Item) error {
		if skipped.Images < before.Images {
			skipped.note(item)
			if skipped.Images == before.Images {
				return before.same(skipped, i)
			}
			return nil
		}
		j := &job{item: item, done: make(chan struct{})}
		for _, c := range []chan<- *job{queue, work} {
			select {
			case c <- j:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
	if err == nil && skipped.Images < before.Images {
		return before.same(skipped, i)
	}
	return err
}

// pixels loads, decodes and resizes an image. What is wrong with the image itself is a
// *BrokenError.
func (s Settings) pixels(ctx context.Context, item raw.Item) ([]byte, error) {
	img := item.Image
	if item.Load != nil {
		file, err := item.Load(ctx)
		if err != nil {
			return nil, err
		}
		if img, err = decode.Decode(file, s.Channels); err != nil {
			return nil, &BrokenError{item.Name, err}
		}
	}
	img, err := resize.Square(decode.Channels(img, s.Channels), s.Size, s.Rule)
	if err != nil {
		return nil, &BrokenError{item.Name, err}
	}
	return img.Pixels, nil
}
