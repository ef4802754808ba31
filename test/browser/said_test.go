package browser

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/ddpm-cluster/ddpm-cluster/coordinator/report"
	"github.com/ddpm-cluster/ddpm-cluster/coordinator/web"
)

// kept is a run with more checkpoints than a page shows.
type kept struct{ *large }

const manyCheckpoints = 150

// Status implements web.Source.
func (k kept) Status() report.Status {
	s := k.large.Status()
	s.Checkpoint = &report.Checkpoint{Step: manyCheckpoints}
	return s
}

// Checkpoints implements web.Source.
func (kept) Checkpoints(context.Context) (all []report.Checkpoint, err error) {
	at := time.Now().UTC()
	for i := range manyCheckpoints {
		all = append(all, report.Checkpoint{Step: uint64(i) + 1, At: &at})
	}
	return all, nil
}

// submitted are the bodies of the jobs that the page has asked for.
type submitted struct {
	mu  sync.Mutex
	all []string
}

// another is a job that was submitted elsewhere, with the largest seed that there is.
const another = `[{"id": "another", "state": "done", "fraction": 1, "images": 1, "images_done": 1,
	"job": {"step": 7, "settings": {"sampler": "ddim", "steps": 50, "seed": 18446744073709551615}}}]`

func (s *submitted) serve(m *http.ServeMux) {
	m.HandleFunc("GET /api/samples", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, another) })
	m.HandleFunc("POST /api/samples", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.all = append(s.all, fmt.Sprint(string(body), err))
		_, _ = io.WriteString(w, `{"id": "job"}`)
	})
}

// The page says what it leaves out of the checkpoints, and what it can't ask for: a seed
// that its numbers don't hold.
func TestSaid(t *testing.T) {
	b := open(t)
	k := kept{&large{history: report.NewHistory()}}
	k.train()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var jobs submitted
	defer web.Serve(listener, slog.New(slog.DiscardHandler), nil, k, nil, jobs.serve)()
	b.do(chromedp.Navigate("http://" + listener.Addr().String() + "/"))
	b.await(`document.querySelectorAll("#checkpoints figure").length === 100`)
	b.await(`document.getElementById("checkpointsnote").textContent === "the newest 100 of 150"`)

	// What it can't ask for it can show: whoever draws by this seed again gets the same images.
	b.await(`document.querySelector("#jobs .job")?.textContent.includes("seed 18446744073709551615")`)
	note := `document.getElementById("jobsnote").textContent`
	b.do(chromedp.SetValue("[name=seed]", "9007199254740993"), chromedp.Click("#job-submit"))
	b.await(note + `.includes("9007199254740993") && ` + note + `.includes("at most 9007199254740991")`)
	b.do(chromedp.SetValue("[name=seed]", "9007199254740991"), chromedp.Click("#job-submit"))
	b.await(note + ` === "Submitted as job"`)
	jobs.mu.Lock()
	defer jobs.mu.Unlock()
	if want := `{"run":"large","n":8,"sampler":"ddim","seed":9007199254740991,"steps":50}<nil>`; len(jobs.all) != 1 || jobs.all[0] != want {
		t.Errorf("asked for %q, want %q alone", jobs.all, want)
	}
	b.clean()
}
