package raw

import (
	"context"
	"io"
	"sync"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/dataset/packed"
)

const (
	// pageSize is how much of a file is read at once, maxPages how much of it is
	// kept: readers go forward in a few places at a time.
	pageSize = 1 << 20
	maxPages = 16
)

// readerAt is an io.ReaderAt over an object of a Store.
type readerAt struct {
	ctx   context.Context
	store packed.Store
	key   string
	size  int64

	mu    sync.Mutex
	pages []page // the one used last is the last
}

type page struct {
	number  int64
	content []byte
}

func (s *Source) readerAt(ctx context.Context, f File) *readerAt {
	return &readerAt{ctx: ctx, store: s.store, key: f.Key, size: f.Size}
}

// ReadAt implements io.ReaderAt. It may be called concurrently, one call at a time
// makes progress.
func (r *readerAt) ReadAt(p []byte, offset int64) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	done := 0
	for done < len(p) {
		at := offset + int64(done)
		if at < 0 || at >= r.size {
			return done, io.EOF
		}
		content, err := r.page(at / pageSize)
		if err != nil {
			return done, err
		}
		done += copy(p[done:], content[at%pageSize:])
	}
	return done, nil
}

// page gives a page, and remembers it.
func (r *readerAt) page(number int64) ([]byte, error) {
	for k, p := range r.pages {
		if p.number == number {
			r.pages = append(append(r.pages[:k], r.pages[k+1:]...), p)
			return p.content, nil
		}
	}
	p := page{number, make([]byte, min(pageSize, r.size-number*pageSize))}
	if err := r.store.ReadRange(r.ctx, r.key, number*pageSize, p.content); err != nil {
		return nil, err
	}
	if len(r.pages) == maxPages {
		r.pages = r.pages[1:]
	}
	r.pages = append(r.pages, p)
	return p.content, nil
}
