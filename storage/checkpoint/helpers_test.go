package checkpoint

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/ddpm-cluster/ddpm-cluster/storage"
	"github.com/ddpm-cluster/ddpm-cluster/storage/safetensors"
)

const testRun = "digits"

// newStore returns a Store in a temporary directory, and the directory.
func newStore(t *testing.T) (storage.Store, string) {
	t.Helper()
	dir := t.TempDir()
	st, err := storage.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	return st, dir
}

// newState returns a state of n parameters, a function of the step.
func newState(n int, step uint64) State {
	random := rand.New(rand.NewPCG(step, uint64(n)))
	vector := func() []float32 {
		v := make([]float32, n)
		for i := range v {
			v[i] = float32(random.NormFloat64())
		}
		return v
	}
	return State{Weights: vector(), M: vector(), V: vector(), EMA: vector()}
}

func emptyState(n int) State {
	return State{Weights: make([]float32, n), M: make([]float32, n), V: make([]float32, n), EMA: make([]float32, n)}
}

func (s State) equal(o State) bool {
	for i, v := range [][]float32{s.Weights, s.M, s.V, s.EMA} {
		w := [][]float32{o.Weights, o.M, o.V, o.EMA}[i]
		if !slices.EqualFunc(v, w, func(a, b float32) bool { return math.Float32bits(a) == math.Float32bits(b) }) {
			return false
		}
	}
	return true
}

func digest(s State) string {
	h := sha256.New()
	for _, v := range [][]float32{s.Weights, s.M, s.V, s.EMA} {
		for _, x := range v {
			b := math.Float32bits(x)
			h.Write([]byte{byte(b), byte(b >> 8), byte(b >> 16), byte(b >> 24)})
		}
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil))
}

// save writes all objects of a checkpoint in so many parts, and returns the
// manifest to publish.
func save(t *testing.T, st storage.Store, step uint64, s State, parts int) Manifest {
	t.Helper()
	ctx := t.Context()
	n := len(s.Weights)
	m := Manifest{Run: testRun, Step: step, Digest: digest(s), Params: int64(n), Parts: parts}
	add := func(o Object, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		m.Objects = append(m.Objects, o)
	}
	for i := range parts {
		a, b := i*n/parts, (i+1)*n/parts
		add(WritePart(ctx, st, testRun, step, i, parts, Part{
			Offset: int64(a), Total: int64(n), Weights: s.Weights[a:b], M: s.M[a:b], V: s.V[a:b], EMA: s.EMA[a:b],
		}))
	}
	add(WriteObject(ctx, st, testRun, step, ModelIndexKey, "application/json", []byte("{}\n")))
	add(WriteObject(ctx, st, testRun, step, SamplesKey, "image/png", []byte("a picture")))
	add(WriteTensors(ctx, st, testRun, step, UNetWeightsKey, []safetensors.Tensor{
		{Name: "conv_in.weight", Shape: []int{n}, Data: s.EMA}, {Name: "conv_in.bias", Shape: []int{1}, Data: s.EMA[:1]},
	}))
	return m
}

func publish(t *testing.T, st storage.Store, m Manifest) {
	t.Helper()
	if err := Publish(t.Context(), st, m); err != nil {
		t.Fatal(err)
	}
}

// flip changes one bit of an object's file.
func flip(t *testing.T, dir, key string, bit int) {
	t.Helper()
	name := filepath.Join(dir, filepath.FromSlash(key))
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	bit %= 8 * len(data)
	data[bit/8] ^= 1 << (bit % 8)
	if err := os.WriteFile(name, data, 0o666); err != nil {
		t.Fatal(err)
	}
}

// brokenReads is a Store whose objects end early or fail while they are read, as
// over a network.
type brokenReads struct {
	storage.Store
	after int64
	err   error
}

func (b brokenReads) Get(ctx context.Context, key string) (io.ReadCloser, storage.Info, error) {
	r, info, err := b.Store.Get(ctx, key)
	if err != nil {
		return nil, info, err
	}
	return struct {
		io.Reader
		io.Closer
	}{io.MultiReader(io.LimitReader(r, b.after), failing{b.err}), r}, info, nil
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

var errLost = errors.New("connection lost")
