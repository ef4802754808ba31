package packed

// fetch is a block on its way.
type fetch struct {
	block  int
	begun  bool          // under Reader.mu
	done   chan struct{} // closed when the rest is set
	images []byte
	err    error
}

// failed says that the block came, and was none.
func (f *fetch) failed() bool {
	select {
	case <-f.done:
		return f.err != nil
	default:
		return false
	}
}

const (
	// fetchers is how many blocks are fetched at once: enough to hide a Store's
	// latency, which is some ten milliseconds a request.
	fetchers = 8
	// maxAhead bounds the memory of blocks that are fetched ahead, in bytes.
	maxAhead = 256 << 20
)

// Ahead names the examples that are needed next, in their order: the rest of this
// step's and those of the steps that follow. The Reader fetches their blocks
// beside the caller, and forgets those of which none is named any more. It is called
// again as the caller goes on; what goes beyond 256 MiB is left for later calls.
func (r *Reader) Ahead(examples []int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	most := max(1, maxAhead/r.layout.blockBytes())
	window := make(map[int]*fetch)
	r.queue = r.queue[:0]
	for _, i := range examples {
		b := i / r.layout.block
		if i < 0 || i >= r.manifest.Count || window[b] != nil {
			continue
		}
		if len(window) == most {
			break
		}
		f := r.window[b]
		if f == nil || f.failed() {
			f = &fetch{block: b, done: make(chan struct{})}
		}
		window[b] = f
		if !f.begun {
			r.queue = append(r.queue, f)
		}
	}
	r.window = window
	for n := min(fetchers, len(r.queue)); r.running < n && r.ctx.Err() == nil; r.running++ {
		r.group.Go(r.work)
	}
}

// work fetches what is in the queue until nothing is.
func (r *Reader) work() {
	for {
		f := r.next()
		if f == nil {
			return
		}
		r.finish(f)
	}
}

// next takes the first of the queue; nil ends the goroutine.
func (r *Reader) next() *fetch {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.queue) > 0 && r.ctx.Err() == nil {
		f := r.queue[0]
		r.queue = r.queue[1:]
		if !f.begun {
			f.begun = true
			return f
		}
	}
	r.running--
	return nil
}

// finish fetches a block that the caller has begun.
func (r *Reader) finish(f *fetch) {
	f.images, f.err = r.load(r.ctx, f.block)
	close(f.done)
}

// block gives a block's images: those that were fetched ahead, those that are on
// their way, or else it fetches them.
func (r *Reader) block(b int) ([]byte, error) {
	r.mu.Lock()
	f := r.window[b]
	mine := f == nil || !f.begun || f.failed()
	if f == nil || f.failed() {
		f = &fetch{block: b, done: make(chan struct{})}
		if r.window[b] != nil {
			r.window[b] = f
		}
	}
	f.begun = true
	r.mu.Unlock()
	select {
	case <-f.done:
		return f.images, f.err
	default:
	}
	from := r.clock()
	if mine {
		r.finish(f)
	}
	<-f.done
	r.waited.Add(r.clock() - from)
	return f.images, f.err
}
