package scale

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ddpm-cluster/ddpm-cluster/coordinator/report"
)

// training is a run of real processes: a coordinator on this machine and workers of one
// thread each, in the namespaces of a prefix.
type training struct {
	bin, dir string
	// in is the prefix of the namespaces' names, the first worker's is number first, and
	// host the machine's address beside them.
	in, host       string
	first, workers int
	batch, shard   int
}

// trained is what one came to. Times are of a step, in seconds, the medians over steps.
type trained struct {
	digest string
	step   float64
	// fastest is the step that others at work on the machine have changed least.
	fastest                   float64
	compute, reduce, update   float64
	forward, backward, hidden float64
}

// rate is images a second by the median step.
func (r training) rate(got trained) float64 { return float64(r.batch) / got.step }

// hiding is the share of the all-reduce that was under way within compute.
func (got trained) hiding() float64 {
	return got.hidden / cmp.Or(got.hidden+got.reduce, 1)
}

// steps of each run, of which the first has no beginning.
const steps = 9

var (
	joins   = regexp.MustCompile(`ddpm-worker (--join \S+ --token-file \S+ --ca-hash \S+)`)
	closing = regexp.MustCompile(`digest (sha256:[0-9a-f]{64})`)
)

// run trains, with all that is usual: TLS with certificates at both ends, a token, and a
// folder for a Store.
func (r training) run(ctx context.Context) (got trained, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	if err := os.MkdirAll(r.dir, 0o755); err != nil {
		return got, err
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(r.host, "0"))
	if err != nil {
		return got, err
	}
	address := listener.Addr().String()
	_ = listener.Close() // for the coordinator
	data := filepath.Join(r.dir, "data")
	coordinator := exec.CommandContext(ctx, filepath.Join(r.bin, "ddpm-coordinator"), "--preset", "cifar10", "--dataset", "glyphs://?size=32&channels=3&n=512",
		"--workers", fmt.Sprint(r.workers), "--batch", fmt.Sprint(r.batch), "--shard-size", fmt.Sprint(r.shard), "--steps", fmt.Sprint(steps),
		"--data-dir", data, "--listen", address, "--run", "scale", "--log-format", "text")
	var stdout bytes.Buffer
	log, err := os.Create(filepath.Join(r.dir, "coordinator.log"))
	if err != nil {
		return got, err
	}
	defer log.Close()
	coordinator.Stdout, coordinator.Stderr = &stdout, log
	if err := coordinator.Start(); err != nil {
		return got, err
	}
	workers, err := r.join(ctx, log.Name())
	if err != nil {
		cancel()
	}
	for _, p := range append(workers, coordinator) {
		if failed := p.Wait(); failed != nil && err == nil {
			err = fmt.Errorf("%s: %w", filepath.Base(p.Path), failed)
			cancel()
		}
	}
	if err != nil {
		said, _ := os.ReadFile(log.Name()) // there may be none
		return got, fmt.Errorf("%w\n%s", err, said)
	}
	m := closing.FindStringSubmatch(stdout.String())
	if m == nil {
		return got, fmt.Errorf("the run ends with %q", &stdout)
	}
	got.digest = m[1]
	return got, got.read(filepath.Join(data, "runs", "scale", "metrics.jsonl"))
}

// join starts the workers as the coordinator's log says.
func (r training) join(ctx context.Context, log string) (workers []*exec.Cmd, err error) {
	var entry []string
	for entry == nil {
		text, _ := os.ReadFile(log) // it may not be there yet
		if m := joins.FindSubmatch(text); m != nil {
			entry = strings.Fields(string(m[1]))
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return nil, fmt.Errorf("the coordinator does not say how to join: %w", ctx.Err())
		}
	}
	for i := range r.workers {
		words := append([]string{"netns", "exec", r.in + strconv.Itoa(r.first+i), filepath.Join(r.bin, "ddpm-worker"), "--threads", "1", "-v", "--log-format", "text"}, entry...)
		w := exec.CommandContext(ctx, "ip", words...)
		said, err := os.Create(filepath.Join(r.dir, fmt.Sprintf("worker-%d.log", i)))
		if err != nil {
			return workers, err
		}
		w.Stdout, w.Stderr = said, said
		err = w.Start()
		_ = said.Close() // the worker has its own
		if err != nil {
			return workers, err
		}
		workers = append(workers, w)
	}
	return workers, nil
}

// read takes the times from a run's metrics.
func (got *trained) read(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	var lines []report.Line
	if err := report.ReadLines(f, steps, func(l report.Line) bool {
		if l.Timed() {
			lines = append(lines, l)
		}
		return true
	}); err != nil {
		return err
	}
	if len(lines) < steps/2 {
		return fmt.Errorf("%d of %d steps have times", len(lines), steps)
	}
	over := func(of func(report.Line) float64) float64 {
		values := make([]float64, len(lines))
		for i, l := range lines {
			values[i] = of(l)
		}
		return median(values)
	}
	got.step = over(func(l report.Line) float64 { return l.Seconds })
	got.compute = over(func(l report.Line) float64 { return l.ComputeSeconds })
	got.reduce = over(func(l report.Line) float64 { return l.ReduceSeconds })
	got.update = over(func(l report.Line) float64 { return l.UpdateSeconds })
	got.forward = over(func(l report.Line) float64 { return l.ForwardSeconds })
	got.backward = over(func(l report.Line) float64 { return l.BackwardSeconds })
	got.hidden = over(func(l report.Line) float64 { return l.HiddenSeconds })
	got.fastest = slices.MinFunc(lines, func(a, b report.Line) int { return cmp.Compare(a.Seconds, b.Seconds) }).Seconds
	return nil
}

// median of values that are not empty; of an even number the upper of the two.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

func (got trained) log(t *testing.T, what string, images int) {
	t.Helper()
	t.Logf("%s: %.3f images/s; a step %.3f s (fastest %.3f s): compute %.3f s (forward %.3f s, backward %.3f s), reduce %.3f s, update %.3f s; %.0f%% of the all-reduce hidden",
		what, float64(images)/got.step, got.step, got.fastest, got.compute, got.forward, got.backward, got.reduce, got.update, 100*got.hiding())
}
