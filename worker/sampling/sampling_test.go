package sampling

import (
	"bytes"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/evaluate"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/kernel"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/sampler"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/sampler/job"
	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
)

var discard = slog.New(slog.DiscardHandler)

func (p place) job(n, steps int) job.Job {
	s := sampler.Defaults(sampler.DDIM, p.spec.Diffusion)
	s.Steps, s.Seed, s.Eta = steps, 5, 0.5
	return job.Job{Format: job.Format, Run: testRun, Step: testStep, Digest: testDigest, N: n, Settings: s, Frames: 3}
}

// model is the checkpoint's, with no Store between.
func (p place) model(t *testing.T) sampler.Model {
	t.Helper()
	pool := kernel.NewPool(1)
	t.Cleanup(pool.Close)
	return sampler.NewModel(p.spec, p.weights, pool)
}

// leases are those of all tasks of a job that draws.
func (p place) leases(t *testing.T, id string, j job.Job, size int) []*ddpmv1.Lease {
	t.Helper()
	text, err := j.Encode()
	if err != nil {
		t.Fatal(err)
	}
	lease := ddpmv1.Lease{JobId: id, Job: text, Storage: p.dir, Prefix: "runs/r/samples/" + id + "/", Grid: true, Npz: true}
	var all []*ddpmv1.Lease
	for _, task := range j.Tasks(size) {
		all = append(all, part(&lease, len(all), task.First, task.Count))
	}
	return append(all, part(&lease, len(all), 0, 0))
}

// part is the lease of a task; of no images it makes the files.
func part(l *ddpmv1.Lease, number, first, count int) *ddpmv1.Lease {
	return &ddpmv1.Lease{
		JobId: l.GetJobId(), Job: l.GetJob(), Evaluation: l.GetEvaluation(), Storage: l.GetStorage(), Prefix: l.GetPrefix(), Grid: l.GetGrid(), Npz: l.GetNpz(),
		Task: uint32(number), Id: "lease", Milliseconds: 10_000, First: uint32(first), Count: uint32(count), Files: count == 0,
	}
}

// However a job is cut, a worker leaves the files that one process makes; the weights
// are loaded once for all jobs; frames, which were for the files alone, are gone.
func TestDrawsTheJobsFiles(t *testing.T) {
	p := newPlace(t)
	j := p.job(5, 4)
	images, err := job.NewRunner(p.spec, p.model(t), 3).Run(t.Context(), j, job.Task{Count: j.N}, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	err = job.Files(j, p.spec.Model, images, job.Choice{Grid: true, NPZ: true}, func(name string, content []byte) error {
		want[name] = string(content)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	first := p.leases(t, "one", j, 2)
	f := &fakePool{leases: first[:1], away: 2}
	if err := f.work(t, 1); err != nil {
		t.Fatal(err)
	}
	// Another worker: it finds what the first one has drawn.
	f = &fakePool{leases: append(first, p.leases(t, "two", j, 4)...)}
	if err := f.work(t, 2); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"one", "two"} {
		if got := p.files(t, "runs/r/samples/"+id); !maps.Equal(got, want) {
			t.Errorf("job %s has the files %v, want %v", id, slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
		}
	}
	if len(f.finished) != 4+3 || len(f.returned) != 0 {
		t.Errorf("finished %v, returned %q", f.finished, f.returned)
	}
}

// The weights of a checkpoint are loaded once for all tasks and jobs.
func TestWeightsAreShared(t *testing.T) {
	p := newPlace(t)
	w := &worker{config: Config{Threads: 1, Log: discard}, pool: kernel.NewPool(1)}
	defer w.pool.Close()
	first, err := w.model(t.Context(), p.store, ref{testRun, testStep, testDigest})
	if err != nil {
		t.Fatal(err)
	}
	p.loseWeights(t)
	again, err := w.model(t.Context(), p.store, ref{testRun, testStep, testDigest})
	if err != nil || again != first {
		t.Errorf("the second job loads them again: %v", err)
	}
	if first.batch < 1 {
		t.Errorf("a batch of %d", first.batch)
	}
}

// An evaluation's report has the bytes that one process makes.
func TestMeasures(t *testing.T) {
	p := newPlace(t)
	q := evaluate.Request{Run: testRun, Dataset: "glyphs://?n=40&seed=2", N: 5, Terms: 6, Bins: 3}
	j := q.Job(p.spec, testStep, testDigest)
	data, err := OpenHeldOut(t.Context(), p.store, p.spec, j.Dataset)
	if err != nil {
		t.Fatal(err)
	}
	j.Dataset, j.DatasetDigest = data.URI(), data.Digest()
	results, err := evaluate.NewRunner(p.spec, p.model(t), data, 4).Run(t.Context(), j, evaluate.Task{Count: j.N}, nil)
	if err != nil {
		t.Fatal(err)
	}
	report, err := evaluate.Reduce(j, p.spec.Diffusion.Steps, results)
	if err != nil {
		t.Fatal(err)
	}
	want, err := report.Encode()
	if err != nil {
		t.Fatal(err)
	}
	text, err := j.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for size := 1; size <= 3; size++ {
		l := &ddpmv1.Lease{JobId: "e", Evaluation: text, Storage: p.dir, Prefix: "runs/r/evaluations/" + strings.Repeat("e", size) + "/"}
		f := &fakePool{}
		for _, task := range j.Tasks(size) {
			f.leases = append(f.leases, part(l, len(f.leases), task.First, task.Count))
		}
		f.leases = append(f.leases, f.leases[0], part(l, len(f.leases), 0, 0)) // one is done twice
		if err := f.work(t, size); err != nil {
			t.Fatal(err)
		}
		if got := p.files(t, l.GetPrefix())[evaluate.ReportName]; !bytes.Equal([]byte(got), want) || len(f.returned) != 0 {
			t.Errorf("tasks of %d: the report is %s, not %s; returned %q", size, got, want, f.returned)
		}
	}
}

// What no worker could do goes back with the reason, and the worker goes on.
func TestFaultsGoBack(t *testing.T) {
	p := newPlace(t)
	other := p.job(2, 2)
	other.Digest = "sha256:1"
	steps := p.job(2, 2)
	steps.Settings.Steps = 1_000_000
	outside := p.leases(t, "d", p.job(2, 2), 2)[0]
	outside.First = 7
	good := p.leases(t, "good", p.job(2, 2), 2)
	f := &fakePool{leases: slices.Concat(
		p.leases(t, "a", other, 2)[:1], p.leases(t, "b", steps, 2)[:1],
		p.leases(t, "c", p.job(2, 2), 2)[1:], // the files of images that are not there
		[]*ddpmv1.Lease{outside}, good,
	)}
	if err := f.work(t, 1); err != nil {
		t.Fatal(err)
	}
	for i, says := range []string{"has digest", "steps 1000000", "not in", "from 7 on"} {
		if i >= len(f.returned) || !strings.Contains(f.returned[i], says) {
			t.Errorf("returned %q; want %q in number %d", f.returned, says, i)
		}
	}
	if len(f.finished) != len(good) {
		t.Errorf("after the faults %d tasks of %d were done", len(f.finished), len(good))
	}
}

// A lease that is over ends the drawing, and the next task is taken.
func TestLeaseOver(t *testing.T) {
	p := newPlace(t)
	long := p.leases(t, "long", p.job(8, 1000), 8)[0]
	f := &fakePool{leases: append([]*ddpmv1.Lease{long}, p.leases(t, "short", p.job(1, 2), 1)...)}
	f.leases[0].Milliseconds = 1
	f.kept = func(id string) error {
		if id == "long" {
			return status.Error(codes.NotFound, "over")
		}
		return nil
	}
	if err := f.work(t, 1); err != nil {
		t.Fatal(err)
	}
	if _, there := p.files(t, "runs/r")["samples/long/images/000000.png"]; there {
		t.Error("it drew on without a lease")
	}
	if len(f.finished) != 2 || len(f.returned) != 0 {
		t.Errorf("finished %v, returned %q", f.finished, f.returned)
	}
}

// A worker that is asked to end gives its task back, without a reason.
func TestEnds(t *testing.T) {
	p := newPlace(t)
	f := &fakePool{leases: p.leases(t, "long", p.job(8, 1000), 8)[:1]}
	f.leases[0].Milliseconds = 1
	f.kept = func(string) error {
		f.end()
		return nil
	}
	if err := f.work(t, 1); err != nil {
		t.Fatal(err)
	}
	if len(f.finished) != 0 || !slices.Equal(f.returned, []string{""}) {
		t.Errorf("finished %v, returned %q", f.finished, f.returned)
	}
}
