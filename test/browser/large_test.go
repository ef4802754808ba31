package browser

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/ddpm-cluster/ddpm-cluster/coordinator/report"
	"github.com/ddpm-cluster/ddpm-cluster/coordinator/web"
)

const (
	manyWorkers = 500
	manySteps   = 1_000_000
	manyViewers = 10
	// paintLimit is when a browser shows something at the latest, in milliseconds after it
	// asked, heapLimit what the page may take of it, in bytes, and coreLimit the share of a
	// core that serving all viewers may take.
	paintLimit = 1000
	heapLimit  = 60e6
	coreLimit  = 0.05
)

// waitingSeen is for how many seconds the last workers, which wait for a place, have given
// no sign of life: of 500 they are asked for one every 5 s.
var waitingSeen = [...]float64{9, 30}

// large is a run of many workers and steps, which goes on by itself.
type large struct {
	mu      sync.Mutex
	history *report.History
	step    uint64
}

func (l *large) train() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.step++
	s := float64(l.step)
	l.history.Add(report.Point{
		Step: l.step, Loss: 0.02 + 1/(1+s/1000) + 0.01*math.Sin(s), GradientNorm: 1, Rate: 1e-4,
		Images: 512, Seconds: 1, Stages: report.StageSeconds{Compute: 0.8, Forward: 0.3, Backward: 0.45, Reduce: 0.15, Update: 0.05},
	})
}

// Status implements web.Source.
func (l *large) Status() report.Status {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now().UTC()
	s := report.Status{
		Run: "large", At: now, Started: now.Add(-time.Hour), Phase: "training", Step: l.step, Steps: 2 * manySteps, Loss: 0.02, LossMean: 0.02,
		Images: 512, ImagesPerSecond: 512, SecondsPerStep: 1, SecondsLeft: 1e6, Generation: 7, Gone: []report.Worker{}, History: []report.Generation{},
	}
	for i := range manyWorkers {
		s.Workers = append(s.Workers, report.Worker{
			ID: fmt.Sprintf("w%d", i+1), Place: report.Place{Hostname: fmt.Sprintf("pod-%d", i), CPULevel: "avx512", Threads: 8, PID: 1, RingAddress: "10.0.0.1:7000"},
			Step: l.step, Shards: 1 + i%3, ShardRate: 2 + float64(i%17)/10, SeenSeconds: float64(i%25) / 100,
		})
	}
	for i, seen := range waitingSeen {
		w := &s.Workers[manyWorkers-len(waitingSeen)+i]
		w.Shards, w.SeenSeconds = 0, seen
	}
	return s
}

// Curve implements web.Source.
func (l *large) Curve(from uint64, points int) *report.Curve {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.history.Curve(from, points)
}

// Checkpoints implements web.Source.
func (l *large) Checkpoints(context.Context) ([]report.Checkpoint, error) { return nil, nil }

// Examples implements web.Source.
func (l *large) Examples(context.Context, uint64, int) (*report.StepExamples, error) {
	return nil, web.ErrNone
}

// Picture implements web.Source.
func (l *large) Picture(context.Context, uint64) ([]byte, error) { return nil, web.ErrNone }

// cpu is the processor time of this process so far.
func cpu(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// A run of 500 workers and a million steps is shown at once, in a bounded part of the
// browser's memory and of the server's processor, for many viewers.
func TestLarge(t *testing.T) {
	b := open(t)
	l := &large{history: report.NewHistory()}
	for range manySteps {
		l.train()
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	jobs := func(m *http.ServeMux) { // none; what is not served at all would be an error in the console
		m.HandleFunc("GET /api/samples", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "[]") })
	}
	defer web.Serve(listener, slog.New(slog.DiscardHandler), nil, l, nil, jobs)()
	address := "http://" + listener.Addr().String() + "/"
	b.do(chromedp.EmulateViewport(1280, 900), chromedp.Navigate(address))
	b.await(fmt.Sprintf(`document.querySelectorAll("#workers tbody tr").length === %d && document.querySelector("#loss-chart canvas") !== null`, manyWorkers))
	b.await(`[...document.querySelectorAll("#workers tbody .state")].slice(-3).map((c) => c.textContent).join() === "training,idle,silent"`)
	var paint, ready float64
	b.do(chromedp.Evaluate(`performance.getEntriesByName("first-contentful-paint")[0].startTime`, &paint), chromedp.Evaluate(`performance.now()`, &ready))

	ctx, cancel := context.WithCancel(t.Context())
	var viewers sync.WaitGroup
	for range manyViewers {
		viewers.Go(func() {
			q, err := http.NewRequestWithContext(ctx, http.MethodGet, address+"api/events", nil)
			if err != nil {
				return
			}
			if r, err := http.DefaultClient.Do(q); err == nil {
				_, _ = io.Copy(io.Discard, r.Body) // until the test ends
				_ = r.Body.Close()
			}
		})
	}
	const seconds = 10
	before := cpu(t)
	for range seconds {
		time.Sleep(time.Second)
		l.train()
	}
	used := cpu(t) - before
	cancel()
	viewers.Wait()
	var heap float64
	b.do(chromedp.Evaluate(`performance.memory.usedJSHeapSize`, &heap))
	t.Logf("first paint after %.0f ms, everything after %.0f ms, heap %.1f MB; %d viewers and this test take %.1f%% of a core",
		paint, ready, heap/1e6, manyViewers+1, 100*used.Seconds()/seconds)
	if paint >= paintLimit {
		t.Errorf("the first paint came after %.0f ms, and not within %d", paint, paintLimit)
	}
	if heap > heapLimit {
		t.Errorf("the page takes %.0f bytes of the browser's heap, more than %.0f", heap, heapLimit)
	}
	// The viewers' own reading counts in: they are in this process.
	if share := used.Seconds() / seconds; share >= coreLimit {
		t.Errorf("%d viewers take %.1f%% of a core, and not less than %.0f%%", manyViewers+1, 100*share, 100*coreLimit)
	}
	b.picture("large.png", 1280, 900, "light")
	b.clean()
}
