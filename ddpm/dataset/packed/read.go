package packed

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// Options are how a Reader reads.
type Options struct {
	// Cache is a folder for blocks of a Store that is reached over a network, ""
	// for none; CacheBytes bounds it, all datasets together.
	Cache      string
	CacheBytes int64
	// Clock gives a monotonic time in nanoseconds, by which waiting is measured; nil
	// measures none.
	Clock func() int64
}

// Reader reads a dataset. Its methods may be called concurrently.
type Reader struct {
	store    Store
	prefix   string
	manifest Manifest
	layout   layout
	cache    *cache
	clock    func() int64
	waited   atomic.Int64

	ctx    context.Context
	cancel context.CancelFunc
	group  sync.WaitGroup

	mu    sync.Mutex
	lists listCache
	// window has the blocks that Ahead asked for; queue those of them that nobody
	// has begun to fetch, running counts the goroutines that do.
	window  map[int]*fetch
	queue   []*fetch
	running int
}

// Open opens the dataset at prefix, which may be "". The Reader outlives ctx's
// cancellation: its end is Close. ErrNone.
func Open(ctx context.Context, store Store, prefix string, o Options) (*Reader, error) {
	m, err := ReadManifest(ctx, store, prefix)
	if err != nil {
		return nil, err
	}
	r := &Reader{store: store, prefix: prefix, manifest: m, layout: layoutOf(m.Shape), clock: o.Clock}
	if r.clock == nil {
		r.clock = func() int64 { return 0 }
	}
	if remote(store) {
		r.cache = openCache(o.Cache, strings.TrimPrefix(m.Digest, "sha256:"), o.CacheBytes)
	}
	r.ctx, r.cancel = context.WithCancel(context.WithoutCancel(ctx))
	return r, nil
}

// Close ends what is being read, for whoever waits for it, too.
func (r *Reader) Close() error {
	r.mu.Lock() // so that Ahead begins nothing more
	r.cancel()
	r.mu.Unlock()
	r.group.Wait()
	return nil
}

// Manifest describes the dataset.
func (r *Reader) Manifest() Manifest { return r.manifest }

// Waited is how long callers of Example waited for a block, in nanoseconds, all
// together.
func (r *Reader) Waited() int64 { return r.waited.Load() }

// Example writes example i, 0 <= i < Count, to dst of Shape.Bytes() bytes.
func (r *Reader) Example(i int, dst []byte) error {
	if i < 0 || i >= r.manifest.Count || len(dst) != r.layout.record {
		return fmt.Errorf("there is no example %d of %d bytes; %d of %d bytes are there", i, len(dst), r.manifest.Count, r.layout.record)
	}
	images, err := r.block(i / r.layout.block)
	if err != nil {
		return err
	}
	copy(dst, images[i%r.layout.block*r.layout.record:])
	return nil
}

// load reads a block and checks it.
func (r *Reader) load(ctx context.Context, block int) ([]byte, error) {
	object, inside := block/r.layout.blocksInObject, block%r.layout.blocksInObject
	list, err := r.list(ctx, object)
	if err != nil {
		return nil, err
	}
	want := Hash(list[inside*hashSize:][:hashSize])
	name := strconv.Itoa(block)
	if content := r.cache.get(name); content != nil && sha256.Sum256(content) == want {
		return content, nil
	}
	o := r.manifest.Objects[object]
	offset := inside * r.layout.blockBytes()
	content := make([]byte, min(r.layout.blockBytes(), o.Count*r.layout.record-offset))
	if err := r.read(ctx, o, int64(offset), content, want, "the images"); err != nil {
		return nil, err
	}
	r.cache.put(name, content)
	return content, nil
}

// list gives an object's list of hashes, checked.
func (r *Reader) list(ctx context.Context, object int) ([]byte, error) {
	r.mu.Lock()
	list := r.lists.get(object)
	r.mu.Unlock()
	if list != nil {
		return list, nil
	}
	o := r.manifest.Objects[object]
	name := fmt.Sprintf("hashes-%d", object)
	if list = r.cache.get(name); list == nil || sha256.Sum256(list) != o.Root {
		list = make([]byte, r.layout.blocks(o.Count)*hashSize)
		if err := r.read(ctx, o, o.Size-int64(len(list)), list, o.Root, "the hashes"); err != nil {
			return nil, err
		}
		r.cache.put(name, list)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lists.put(object, list)
	return list, nil
}

// read fills p with a part of an object that has the hash. What came damaged over
// a network may come well when it is asked for again.
func (r *Reader) read(ctx context.Context, o Object, offset int64, p []byte, want Hash, what string) error {
	key := at(r.prefix, o.Key)
	for range 2 {
		if err := r.store.ReadRange(ctx, key, offset, p); err != nil {
			return err
		}
		if sha256.Sum256(p) == want {
			return nil
		}
	}
	return fmt.Errorf("dataset %s in %s: %s of %s at byte %d are damaged: their SHA-256 is another; import the dataset again",
		r.prefix, r.store, what, o.Key, offset)
}

// listCache keeps the lists of hashes of the objects that were read from last.
type listCache struct {
	lists map[int][]byte
	order []int
}

// maxLists bounds them: at 512 blocks an object they are 4 MiB.
const maxLists = 256

func (c *listCache) get(object int) []byte { return c.lists[object] }

func (c *listCache) put(object int, list []byte) {
	if c.lists == nil {
		c.lists = make(map[int][]byte)
	}
	if c.lists[object] != nil {
		return
	}
	if len(c.order) == maxLists {
		delete(c.lists, c.order[0])
		c.order = c.order[1:]
	}
	c.lists[object], c.order = list, append(c.order, object)
}
