package sampling

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/rng"
	"github.com/ddpm-cluster/ddpm-cluster/internal/tracing"
	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
	"github.com/ddpm-cluster/ddpm-cluster/storage"
	"github.com/ddpm-cluster/ddpm-cluster/storage/checkpoint"
	"github.com/ddpm-cluster/ddpm-cluster/storage/safetensors"
)

const (
	testRun  = "r"
	testStep = 3
)

var testDigest = "sha256:" + strings.Repeat("0", 64)

// place is a Store with a run of one checkpoint.
type place struct {
	dir     string
	store   storage.Store
	spec    ddpm.Spec
	weights []float32
}

func newPlace(t *testing.T) place {
	t.Helper()
	preset, err := ddpm.FindPreset("tiny")
	if err != nil {
		t.Fatal(err)
	}
	return newPlaceOf(t, preset.Spec)
}

// newPlaceOf has a run of the spec.
func newPlaceOf(t *testing.T, spec ddpm.Spec) (p place) {
	t.Helper()
	var err error
	p.dir, p.spec = t.TempDir(), spec
	p.weights = make([]float32, p.spec.Model.ParamCount())
	rng.Uniforms(p.weights, 0.1, 9, rng.Init, 0, 0) // all random: others predict next to nothing
	if p.store, err = storage.Open(t.Context(), p.dir); err != nil {
		t.Fatal(err)
	}
	text, err := p.spec.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if err := checkpoint.CreateRun(t.Context(), p.store, testRun, text); err != nil {
		t.Fatal(err)
	}
	m := checkpoint.Manifest{Format: checkpoint.Format, Run: testRun, Step: testStep, Digest: testDigest, Params: int64(len(p.weights)), Parts: 1}
	add := func(o checkpoint.Object, err error) {
		if err != nil {
			t.Fatal(err)
		}
		m.Objects = append(m.Objects, o)
	}
	add(checkpoint.WritePart(t.Context(), p.store, testRun, testStep, 0, 1, checkpoint.Part{
		Total: int64(len(p.weights)), Weights: p.weights, M: p.weights, V: p.weights, EMA: p.weights,
	}))
	var tensors []safetensors.Tensor
	for _, q := range p.spec.Model.Params() {
		tensors = append(tensors, safetensors.Tensor{Name: q.Name, Shape: q.Shape, Data: p.weights[q.Offset : q.Offset+q.Len()]})
	}
	add(checkpoint.WriteTensors(t.Context(), p.store, testRun, testStep, checkpoint.UNetWeightsKey, tensors))
	if err := checkpoint.Publish(t.Context(), p.store, m); err != nil {
		t.Fatal(err)
	}
	return p
}

// loseWeights removes the checkpoint from the Store.
func (p place) loseWeights(t *testing.T) {
	t.Helper()
	if err := checkpoint.Delete(t.Context(), p.store, testRun, testStep); err != nil {
		t.Fatal(err)
	}
}

// files are those under a folder of the Store.
func (p place) files(t *testing.T, prefix string) map[string]string {
	t.Helper()
	all := map[string]string{}
	dir := filepath.Join(p.dir, filepath.FromSlash(prefix))
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(filepath.Join(dir, name))
		all[name] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// fakePool hands out leases in turn and notes what becomes of them. When there is none
// left it ends the worker.
type fakePool struct {
	mu     sync.Mutex
	leases []*ddpmv1.Lease
	end    context.CancelFunc
	// kept is called at each renewal of a job's task; its error is the answer.
	kept func(id string) error
	// away is how many calls are answered by nobody.
	away     int
	finished []uint32
	// returned are the reasons of tasks that came back, refused those of a machine.
	returned, refused []string
	tracer            *tracing.Tracer
}

func (f *fakePool) TakeTask(ctx context.Context, _ *ddpmv1.TakeTaskRequest, _ ...grpc.CallOption) (*ddpmv1.TakeTaskResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.away > 0 {
		f.away--
		return nil, status.Error(codes.Unavailable, "nobody is there")
	}
	if len(f.leases) == 0 {
		f.end()
		<-ctx.Done()
		return nil, status.FromContextError(ctx.Err()).Err()
	}
	l := f.leases[0]
	f.leases = f.leases[1:]
	return &ddpmv1.TakeTaskResponse{Lease: l}, nil
}

func (f *fakePool) KeepTask(_ context.Context, q *ddpmv1.KeepTaskRequest, _ ...grpc.CallOption) (*ddpmv1.KeepTaskResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.kept != nil {
		if err := f.kept(q.GetJobId()); err != nil {
			return nil, err
		}
	}
	return &ddpmv1.KeepTaskResponse{}, nil
}

func (f *fakePool) FinishTask(_ context.Context, q *ddpmv1.FinishTaskRequest, _ ...grpc.CallOption) (*ddpmv1.FinishTaskResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.finished = append(f.finished, q.GetTask())
	return &ddpmv1.FinishTaskResponse{}, nil
}

func (f *fakePool) ReturnTask(_ context.Context, q *ddpmv1.ReturnTaskRequest, _ ...grpc.CallOption) (*ddpmv1.ReturnTaskResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if q.GetMachine() {
		f.refused = append(f.refused, q.GetReason())
	} else {
		f.returned = append(f.returned, q.GetReason())
	}
	return &ddpmv1.ReturnTaskResponse{}, nil
}

// work runs a worker until the leases are done.
func (f *fakePool) work(t *testing.T, threads int) error {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	f.end = cancel
	c := Config{Name: "w", Build: "b", Threads: threads, Away: time.Minute, Log: discard, Tracer: f.tracer}
	return Run(ctx, c, []ddpmv1.PoolClient{f})
}
