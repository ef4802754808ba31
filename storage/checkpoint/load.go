package checkpoint

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/ddpm-cluster/ddpm-cluster/storage"
	"github.com/ddpm-cluster/ddpm-cluster/storage/safetensors"
)

// State is where a checkpoint is loaded to: four vectors of the model's number of
// parameters.
type State struct {
	Weights []float32
	M, V    []float32 // Adam's moments
	EMA     []float32
}

// parallel is how many parts are read at the same time.
const parallel = 4

// Load reads a checkpoint's whole state into dst, checking every part's SHA-256
// and that the parts fill dst exactly; m is as Newest, List or At return it. After
// an error dst's content is undefined. ErrCorrupt where the checkpoint is to blame.
func Load(ctx context.Context, st storage.Store, m Manifest, dst State) error {
	if int64(len(dst.Weights)) != m.Params {
		return fmt.Errorf("checkpoint: step %d of run %s has %d parameters, the model %d; it is of another config", m.Step, m.Run, m.Params, len(dst.Weights))
	}
	if len(dst.M) != len(dst.Weights) || len(dst.V) != len(dst.Weights) || len(dst.EMA) != len(dst.Weights) {
		return fmt.Errorf("checkpoint: the vectors to load to have %d, %d, %d and %d elements, not the same", len(dst.Weights), len(dst.M), len(dst.V), len(dst.EMA))
	}
	l := loader{manifest: m, dst: dst}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for i := range m.Parts {
		g.Go(func() error {
			return readObject(gctx, st, m, PartKey(i, m.Parts), l.part)
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return l.complete()
}

// loader is one Load in progress.
type loader struct {
	manifest Manifest
	dst      State

	mu     sync.Mutex
	ranges [][2]int64 // [begin, end) of the parts so far, none overlapping
}

// part reads a part's object of size bytes into the state.
func (l *loader) part(r io.Reader, size int64) error {
	h, err := safetensors.ReadHeader(r, size)
	if err != nil {
		return err
	}
	var offset, n int64
	if offset, n, err = l.claim(h); err != nil {
		return err
	}
	for _, t := range h.Tensors {
		dst := map[string][]float32{
			weightsName: l.dst.Weights, firstName: l.dst.M, secondName: l.dst.V, emaName: l.dst.EMA,
		}[t.Name]
		if err := safetensors.ReadFloats(r, dst[offset:offset+n]); err != nil {
			return err
		}
	}
	return nil
}

// claim returns the range that a part fills, having made sure that the part is one
// of this checkpoint and that no other fills any of it, so that parts can be read
// at the same time.
func (l *loader) claim(h safetensors.Header) (offset, n int64, err error) {
	offset, err = strconv.ParseInt(h.Metadata["offset"], 10, 64)
	total, step := strconv.FormatInt(l.manifest.Params, 10), strconv.FormatUint(l.manifest.Step, 10)
	if err != nil || h.Metadata["total"] != total || h.Metadata["step"] != step {
		return 0, 0, fmt.Errorf("%w: its metadata %v is not that of a part of %s parameters at step %s", ErrCorrupt, h.Metadata, total, step)
	}
	names := map[string]bool{weightsName: true, firstName: true, secondName: true, emaName: true}
	for _, t := range h.Tensors {
		if !names[t.Name] || t.DType != safetensors.F32 || len(t.Shape) != 1 || t.Shape[0] != h.Tensors[0].Shape[0] {
			return 0, 0, fmt.Errorf("%w: tensor %s of %s%v is out of place in a part", ErrCorrupt, t.Name, t.DType, t.Shape)
		}
	}
	if len(h.Tensors) != len(names) { // and they differ, or ReadHeader had refused
		return 0, 0, fmt.Errorf("%w: it has %d tensors, not %d", ErrCorrupt, len(h.Tensors), len(names))
	}
	n = h.Tensors[0].Shape[0]
	if offset < 0 || offset > l.manifest.Params-n {
		return 0, 0, fmt.Errorf("%w: it fills [%d, %d) of %s", ErrCorrupt, offset, offset+n, total)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.ranges {
		if offset < r[1] && r[0] < offset+n {
			return 0, 0, fmt.Errorf("%w: it fills [%d, %d), and another part [%d, %d)", ErrCorrupt, offset, offset+n, r[0], r[1])
		}
	}
	l.ranges = append(l.ranges, [2]int64{offset, offset + n})
	return offset, n, nil
}

// complete says where the parts leave a gap, if anywhere.
func (l *loader) complete() error {
	slices.SortFunc(l.ranges, func(a, b [2]int64) int { return slices.Compare(a[:], b[:]) })
	var end int64
	for _, r := range append(l.ranges, [2]int64{l.manifest.Params, l.manifest.Params}) {
		if r[0] != end {
			return fmt.Errorf("%sstate/: %w: no part fills [%d, %d)", StepPrefix(l.manifest.Run, l.manifest.Step), ErrCorrupt, end, r[0])
		}
		end = r[1]
	}
	return nil
}

// LoadEMA reads what sampling needs, and no more: the EMA weights by their names
// in diffusers. ErrCorrupt where the checkpoint is to blame.
func LoadEMA(ctx context.Context, st storage.Store, m Manifest) (map[string]safetensors.Tensor, error) {
	tensors := map[string]safetensors.Tensor{}
	err := readObject(ctx, st, m, UNetWeightsKey, func(r io.Reader, size int64) error {
		h, err := safetensors.ReadHeader(r, size)
		if err != nil {
			return err
		}
		for _, info := range h.Tensors {
			t, err := safetensors.ReadTensor(r, info)
			if err != nil {
				return err
			}
			tensors[t.Name] = t
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return tensors, nil
}

// ReadObject reads an object of a checkpoint by its relative key, checking its
// size and SHA-256. ErrCorrupt where the checkpoint is to blame.
func ReadObject(ctx context.Context, st storage.Store, m Manifest, key string) ([]byte, error) {
	var data []byte
	err := readObject(ctx, st, m, key, func(r io.Reader, _ int64) (err error) {
		data, err = io.ReadAll(r)
		return err
	})
	if err != nil {
		return nil, err
	}
	return data, nil
}

// CopyObject writes an object of a checkpoint to w, checking its size and SHA-256.
// What was written counts only when CopyObject succeeds. ErrCorrupt where the
// checkpoint is to blame.
func CopyObject(ctx context.Context, st storage.Store, m Manifest, key string, w io.Writer) error {
	return readObject(ctx, st, m, key, func(r io.Reader, _ int64) error {
		_, err := io.Copy(w, r)
		return err
	})
}

// Verify reads every object of a checkpoint and checks its size and SHA-256, in
// little memory. ErrCorrupt where the checkpoint is to blame.
func Verify(ctx context.Context, st storage.Store, m Manifest) error {
	for _, o := range m.Objects {
		err := readObject(ctx, st, m, o.Key, func(r io.Reader, _ int64) error {
			_, err := io.Copy(io.Discard, r)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// readObject gives an object's content to read, and holds size and SHA-256 against
// the manifest. What read makes of it counts only when readObject succeeds.
func readObject(ctx context.Context, st storage.Store, m Manifest, rel string, read func(r io.Reader, size int64) error) (err error) {
	key := StepPrefix(m.Run, m.Step) + rel
	o, ok := m.Object(rel)
	if !ok {
		return fmt.Errorf("%s: %w: the manifest does not name it", key, ErrCorrupt)
	}
	body, info, err := st.Get(ctx, key)
	if errors.Is(err, storage.ErrNotFound) {
		return fmt.Errorf("%s: %w: it is missing", key, ErrCorrupt)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, body.Close()) }()
	if info.Size != o.Size {
		return fmt.Errorf("%s: %w: it has %d bytes, the manifest says %d", key, ErrCorrupt, info.Size, o.Size)
	}
	hash := sha256.New()
	content := &exactReader{ctx: ctx, r: body, left: o.Size}
	if err := read(io.TeeReader(content, hash), o.Size); errors.Is(err, safetensors.ErrFormat) {
		return fmt.Errorf("%s: %w: %w", key, ErrCorrupt, err)
	} else if err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	if sum := hex.EncodeToString(hash.Sum(nil)); sum != o.SHA256 {
		return fmt.Errorf("%s: %w: its SHA-256 is %s, the manifest says %s", key, ErrCorrupt, sum, o.SHA256)
	}
	return nil
}

// exactReader reads an object of a known size. A reader that ends before is a
// failure to read, such as a lost connection, and not the end of the content: the
// object in the Store may be well.
type exactReader struct {
	ctx  context.Context
	r    io.Reader
	left int64
}

func (e *exactReader) Read(p []byte) (int, error) {
	if err := e.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := e.r.Read(p)
	e.left -= int64(n)
	if e.left > 0 && (errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)) {
		err = fmt.Errorf("the Store stopped giving it %d bytes before its end", e.left)
	}
	return n, err
}
