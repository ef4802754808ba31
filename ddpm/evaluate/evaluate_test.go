package evaluate

import (
	"bytes"
	"context"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/dataset"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/diffusion"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/kernel"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/rng"
	"github.com/ddpm-cluster/ddpm-cluster/ddpm/sampler"
)

const timesteps = 60

func setUp(t *testing.T, batch int) (*Runner, Job) {
	t.Helper()
	p, err := ddpm.FindPreset("tiny")
	if err != nil {
		t.Fatal(err)
	}
	p.Spec.Diffusion.Steps = timesteps
	data, err := dataset.Open(t.Context(), "glyphs://?n=40", ddpm.Want(p.Spec.Model))
	if err != nil {
		t.Fatal(err)
	}
	weights := make([]float32, p.Spec.Model.ParamCount())
	rng.Uniforms(weights, 0.1, 9, rng.Init, 0, 0)
	pool := kernel.NewPool(1)
	t.Cleanup(pool.Close)
	j := Job{Dataset: data.URI(), N: 6, Terms: timesteps, Bins: 4, Variance: diffusion.FixedLarge}
	return NewRunner(p.Spec, sampler.NewModel(p.Spec, weights, pool), data, batch), j
}

func measureAll(t *testing.T, r *Runner, j Job, size int) []Result {
	t.Helper()
	var all []Result
	for _, task := range j.Tasks(size) {
		results, err := r.Run(t.Context(), j, task, nil)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, results...)
	}
	return all
}

func TestResultsAreTheSameHoweverTheJobIsCut(t *testing.T) {
	r, j := setUp(t, 1)
	j.Terms = 9
	want := measureAll(t, r, j, j.N)
	for _, batch := range []int{2, 7, 64} {
		r, _ := setUp(t, batch)
		if got := measureAll(t, r, j, batch%4+1); !reflect.DeepEqual(got, want) {
			t.Errorf("batch %d: other results", batch)
		}
	}
}

// A sample of the terms has the expectation of the whole sum, and as many standard
// errors from it as an unbiased estimate has.
func TestASampleOfTheTermsIsUnbiased(t *testing.T) {
	r, j := setUp(t, 16)
	j.N = 16
	full, err := Reduce(j, timesteps, measureAll(t, r, j, j.N))
	if err != nil {
		t.Fatal(err)
	}
	j.Terms = 8
	const repeats = 8
	mean := 0.0
	for seed := range uint64(repeats) {
		j.Seed = seed
		rep, err := Reduce(j, timesteps, measureAll(t, r, j, j.N))
		if err != nil {
			t.Fatal(err)
		}
		mean += rep.Total.Mean / repeats
		if !(rep.Total.Error > 0) {
			t.Errorf("the standard error is %v", rep.Total.Error)
		}
		weight := 0.0
		for _, row := range measureAll(t, r, j, j.N)[0].Rows {
			weight += row.Weight
		}
		if weight != timesteps {
			t.Errorf("the terms stand for %v timesteps, want %d", weight, timesteps)
		}
	}
	if d := math.Abs(mean-full.Total.Mean) / full.Total.Mean; d > 0.1 {
		t.Errorf("the samples' mean is %v, all terms sum to %v", mean, full.Total.Mean)
	}
}

// A row whose timesteps no image drew is not measured, and no row of 0 ± 0; the others
// sum to the whole all the same.
func TestRowsThatNobodyDrew(t *testing.T) {
	r, j := setUp(t, 4)
	j.N, j.Terms, j.Bins = 2, 2, 10
	results := measureAll(t, r, j, j.N)
	rep, err := Reduce(j, timesteps, results)
	if err != nil {
		t.Fatal(err)
	}
	sum, measured := rep.Prior, 0
	for k, l := range rep.Lines {
		drawn := results[0].Rows[k].Weight+results[1].Rows[k].Weight > 0
		if (l.Bits != nil) != drawn || (l.RMSE != nil) != drawn || (l.Loss != nil) != drawn {
			t.Errorf("row %d, drawn %v: %+v", k, drawn, l)
		}
		if l.Bits != nil {
			measured++
			sum += l.Bits.Mean
		}
	}
	if measured > 3 || math.Abs(sum-rep.Total.Mean) > 1e-9*rep.Total.Mean {
		t.Errorf("%d rows are measured and sum to %v, want 3 at most and %v", measured, sum, rep.Total.Mean)
	}
	text, err := rep.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if again, err := DecodeReport(text); err != nil || !reflect.DeepEqual(again, rep) {
		t.Errorf("%v; read again it is\n%+v, not\n%+v", err, again, rep)
	}
}

func TestBinsAndStrataCoverTheTimesteps(t *testing.T) {
	for _, T := range []int{2, 3, 10, 1000} {
		for bins := 1; bins < min(T, 40); bins++ {
			j := Job{Bins: bins, Terms: bins + 1}
			count := make([]int, bins+1)
			for step := range T {
				count[j.bin(step, T)]++
			}
			for k := range bins {
				if lo, hi := piece(k, bins, T); count[k+1] != hi-lo || hi <= lo {
					t.Fatalf("T %d, %d bins: bin %d has %d timesteps, want %d", T, bins, k, count[k+1], hi-lo)
				}
				if step, w := j.choose(3, k+1, T); j.bin(step, T) != k+1 || int(w) != count[k+1] {
					t.Fatalf("T %d: stratum %d of %d chose t = %d", T, k+1, bins, step)
				}
			}
			if count[0] != 1 {
				t.Fatalf("T %d: row 0 has %d timesteps", T, count[0])
			}
		}
	}
}

// The decoder's probabilities of all bytes sum to 1.
func TestDiscretizedNormalIsADistribution(t *testing.T) {
	for _, mean := range []float64{-1, -0.3, 0, 0.999, 1} {
		for _, deviation := range []float64{0.0074, 0.1, 1} {
			sum := 0.0
			for v := range 256 {
				sum += math.Exp(logDiscretized(float64(v)/127.5-1, mean, 1/deviation))
			}
			if math.Abs(sum-1) > 1e-9 {
				t.Errorf("mean %v, deviation %v: the probabilities sum to %v", mean, deviation, sum)
			}
		}
	}
}

// A network that predicts the noise exactly leaves the posterior itself: no rate with
// its own variance; with beta, what the variances differ by (equation 5).
func TestTermsOfAPerfectPrediction(t *testing.T) {
	tables := diffusion.NewTables(diffusion.Linear(diffusion.FixedLarge))
	x0, eps, xt := []float32{-1, -0.5, 0.1, 1}, []float32{0.3, -1, 2, 0}, make([]float32, 4)
	for _, step := range []int{1, 2, 500, 999} {
		tables.QSample(xt, x0, eps, step)
		small := bound{tables, diffusion.FixedSmall}.measure(step, x0, xt, eps, eps)
		if math.Abs(small.bits) > 1e-6 || small.x0 > 1e-6 || small.eps != 0 {
			t.Errorf("t = %d: %+v", step, small)
		}
		ratio := tables.PosteriorVariance[step] / tables.Beta[step]
		want := (ratio - 1 - math.Log(ratio)) / 2 / math.Ln2
		if large := (bound{tables, diffusion.FixedLarge}).measure(step, x0, xt, eps, eps); math.Abs(large.bits-want) > 1e-6 {
			t.Errorf("t = %d, fixed_large: %v bits/dim, want %v", step, large.bits, want)
		}
	}
	// Off by dx in x_0, the means differ by the posterior's coefficient times dx.
	const step, d = 300, 0.01
	tables.QSample(xt, x0, eps, step)
	off := []float32{0.3, -1, 2 + d, 0}
	bar := tables.AlphaBar[step]
	dx := d * math.Sqrt((1-bar)/bar)
	mean := tables.Posterior(step, step-1).X0 * dx
	want := mean * mean / tables.PosteriorVariance[step] / 2 / math.Ln2 / 4
	if got := (bound{tables, diffusion.FixedSmall}).measure(step, x0, xt, eps, off); math.Abs(got.bits-want) > 1e-3*want {
		t.Errorf("off by %v: %v bits/dim, want %v", d, got.bits, want)
	}
	if got := (bound{tables: tables}).prior(x0); got < 1e-6 || got > 3e-5 {
		t.Errorf("L_T is %v bits/dim, the paper says about 1e-5", got)
	}
}

func TestValidateAndCancel(t *testing.T) {
	r, good := setUp(t, 4)
	for says, edit := range map[string]func(*Job){
		"n 1:":     func(j *Job) { j.N = 1 },
		"n 41:":    func(j *Job) { j.N = 41 },
		"… 250000": func(j *Job) { j.N = 1 << 31 },
		"terms 61": func(j *Job) { j.Terms = 61 },
		"bins 0":   func(j *Job) { j.Bins = 0 },
		"variance": func(j *Job) { j.Variance = "learned" },
	} {
		j := good
		edit(&j)
		if _, err := r.Run(t.Context(), j, Task{Count: 1}, nil); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("want an error with %q, got %v", says, err)
		}
	}
	if _, err := r.Run(t.Context(), good, Task{First: 5, Count: 2}, nil); err == nil {
		t.Error("a task beyond the job is accepted")
	}
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := r.Run(ctx, good, Task{Count: 6}, func(int, int) { cancel() }); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if _, err := Reduce(good, timesteps, make([]Result, 3)); err == nil {
		t.Error("a report is made of half the results")
	}
}

// A job's size is bounded by its images and by the rows of their results.
func TestCheckSize(t *testing.T) {
	for _, c := range []struct {
		n, bins int
		says    string // "" for a job that is taken
	}{
		{2, 999, ""}, {50_000, 82, ""}, {MaxImages, 10, ""}, {MaxImages, 15, ""},
		{MaxImages + 1, 1, "n 250001"}, {-1, 1, "n -1"}, {MaxImages, 16, "at most 15"}, {50_000, 83, "at most 82"}, {2, math.MaxInt, "bins"},
	} {
		err := Job{N: c.n, Bins: c.bins}.CheckSize()
		if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("n %d, %d bins: %v; want %q", c.n, c.bins, err, c.says)
		}
	}
}

// Results that travelled as files make the bytes of a report that those which did not
// make.
func TestResultsTravel(t *testing.T) {
	r, j := setUp(t, 4)
	j.Terms = 9
	results := measureAll(t, r, j, 2)
	want, err := Reduce(j, timesteps, results)
	if err != nil {
		t.Fatal(err)
	}
	for i, one := range results {
		b, err := one.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if results[i], err = DecodeResult(b); err != nil {
			t.Fatal(err)
		}
	}
	got, err := Reduce(j, timesteps, results)
	if err != nil {
		t.Fatal(err)
	}
	a, err := want.Encode()
	if err != nil {
		t.Fatal(err)
	}
	b, err := got.Encode()
	if err != nil || !bytes.Equal(a, b) {
		t.Errorf("%v; other bytes:\n%s\n%s", err, a, b)
	}
	if again, err := DecodeReport(b); err != nil || !reflect.DeepEqual(again, want) {
		t.Errorf("%+v, %v", again, err)
	}
	text, err := j.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if again, err := Decode(text); err != nil || again != j {
		t.Errorf("%+v, %v", again, err)
	}
	for _, bad := range []string{``, `[]`, `{"colour": 1}`, `{"n":3}{"n":4}`, `{"n":3}]`} {
		if _, err := Decode([]byte(bad)); err == nil {
			t.Errorf("%q is a job", bad)
		}
		if _, err := DecodeRequest([]byte(bad)); err == nil {
			t.Errorf("%q is a request", bad)
		}
		if _, err := DecodeResult([]byte(bad)); err == nil {
			t.Errorf("%q is a result", bad)
		}
	}
}
