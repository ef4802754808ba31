package browser

import (
	"context"
	"flag"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

var pictures = flag.String("pictures", "", "leave screenshots in this folder")

// browser is a page that notes what it should not do.
type browser struct {
	t   *testing.T
	ctx context.Context
	mu  sync.Mutex
	bad []string
	// asked are the paths that the page has asked for.
	asked map[string]bool
}

// open opens a headless browser, or skips the test.
func open(t *testing.T) *browser {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		t.Skip("there is no Chromium in PATH (Debian: apt-get install chromium)")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-dev-shm-usage", true), chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true))
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	ctx, cancel = context.WithTimeout(ctx, 4*limit)
	t.Cleanup(cancel)
	b := &browser{t: t, ctx: ctx, asked: map[string]bool{}}
	chromedp.ListenTarget(ctx, b.hear)
	b.do(network.Enable(), runtime.Enable(), log.Enable())
	return b
}

// hear notes errors and requests that leave this host.
func (b *browser) hear(event any) {
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		b.note("an exception: " + e.ExceptionDetails.Error())
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.APITypeError || e.Type == runtime.APITypeWarning {
			b.note(fmt.Sprintf("the console: %s", e.Args[0].Value))
		}
	case *log.EventEntryAdded:
		if e.Entry.Level == log.LevelError {
			b.note("the log: " + e.Entry.Text + " " + e.Entry.URL)
		}
	case *network.EventRequestWillBeSent:
		u, err := url.Parse(e.Request.URL)
		if err != nil || u.Scheme != "data" && u.Hostname() != "127.0.0.1" {
			b.note("a request to " + e.Request.URL)
		} else if u.Scheme != "data" {
			b.ask(u.Path)
		}
	}
}

func (b *browser) ask(path string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked[path] = true
}

func (b *browser) note(what string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.bad = append(b.bad, what)
}

// clean fails the test for everything that was noted.
func (b *browser) clean() {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, what := range b.bad {
		b.t.Error(what)
	}
}

func (b *browser) do(actions ...chromedp.Action) {
	b.t.Helper()
	if err := chromedp.Run(b.ctx, actions...); err != nil {
		b.t.Fatal(err)
	}
}

// await waits until an expression of the page is true.
func (b *browser) await(expression string) {
	b.t.Helper()
	if err := chromedp.Run(b.ctx, chromedp.Poll(expression, nil, chromedp.WithPollingTimeout(limit))); err != nil {
		var text string
		_ = chromedp.Run(b.ctx, chromedp.Text("body", &text)) // for people
		b.t.Fatalf("%s is not so: %v; the page says\n%s", expression, err, text)
	}
}

// picture leaves a screenshot of the whole page in a size and a colour scheme.
func (b *browser) picture(name string, width, height int64, scheme string) {
	b.t.Helper()
	if *pictures == "" {
		return
	}
	var png []byte
	b.do(
		emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}),
		chromedp.EmulateViewport(width, height),
		chromedp.Poll(`new Promise((done) => setTimeout(() => done(true), 1500))`, nil), // charts follow the size
		chromedp.FullScreenshot(&png, 100),
	)
	if err := os.MkdirAll(*pictures, 0o777); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(*pictures, name), png, 0o666); err != nil {
		b.t.Fatal(err)
	}
}

// late is how late a step's point may be. The page is to show it within 2 s; a machine
// that has other things to do gets more.
const late = 20 * time.Second

// punctual measures how long after a step the page draws its point, by the clock of
// this machine, which is the coordinator's and the browser's too.
func (b *browser) punctual(r *running) {
	b.t.Helper()
	b.do(chromedp.Evaluate(`window.drawn = {};
		new MutationObserver(() => { drawn[document.getElementById("loss-chart").dataset.step] ??= Date.now(); })
			.observe(document.getElementById("loss-chart"), { attributes: true, attributeFilter: ["data-step"] })`, nil))
	heard := map[uint64]time.Time{} // by step: when the coordinator heard of it
	var drawn map[uint64]int64
	var lags []time.Duration
	for deadline := time.Now().Add(limit); len(lags) < 5; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			b.t.Fatalf("of the steps %v the page has drawn %v", heard, drawn)
		}
		s, err := r.status()
		if err != nil {
			b.t.Fatal(err)
		}
		heard[s.Step] = s.StepAt
		b.do(chromedp.Evaluate(`drawn`, &drawn))
		lags = lags[:0]
		for step, at := range drawn {
			if when, ok := heard[step]; ok {
				lags = append(lags, time.UnixMilli(at).Sub(when))
			}
		}
	}
	slices.Sort(lags)
	b.t.Logf("points are drawn after %v", lags)
	if worst := lags[len(lags)-1]; worst > late {
		b.t.Errorf("a point is drawn %v after its step", worst)
	}
}

// What somebody sees of a run of two workers: losses as they come, a checkpoint's
// picture, and a worker that is killed, with the reason; and nothing wrong in the
// console, and nobody else asked.
func TestDashboard(t *testing.T) {
	b := open(t)
	r := start(t, build(t), "--local", "--preset", "digits", "--run", "digits-demo", "--steps", "100000", "--checkpoint-every", "10")
	b.do(chromedp.EmulateViewport(1280, 900), chromedp.Navigate(r.url))
	b.await(`document.getElementById("phase").textContent === "training"`)
	b.punctual(r)
	s := r.await("a step", func(s status) bool { return s.Step >= 3 })
	b.await(`document.querySelector("#loss-chart canvas") !== null && /now [0-9]/.test(document.getElementById("loss-chart").ariaLabel)`)
	b.await(`document.querySelectorAll("#workers tbody tr").length === 2`)
	r.await("a checkpoint", func(s status) bool { return s.Checkpoint != nil && s.Checkpoint.Step >= 20 })
	b.await(`document.querySelectorAll("#checkpoints img").length >= 2 && [...document.querySelectorAll("#checkpoints img")].every((i) => i.complete && i.naturalWidth > 0)`)

	victim := s.Workers[1]
	if err := syscall.Kill(victim.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	b.await(`document.querySelectorAll("#workers tbody tr").length === 1`)
	var gone string
	b.await(`document.querySelectorAll("#gone li").length === 1`)
	b.do(chromedp.Text("#gone", &gone))
	if !strings.Contains(gone, victim.ID+" on ") || !strings.Contains(gone, "killed") {
		t.Errorf("of the worker that was killed the page says %q", gone)
	}
	b.await(`document.getElementById("phase").textContent === "training" && document.querySelectorAll("#generations tr").length >= 2`)

	// Keys alone sort the table, and take the log axis.
	b.do(chromedp.Focus("#log"), chromedp.KeyEvent(" "))
	b.await(`document.getElementById("log").checked && document.querySelector("#loss-chart canvas") !== null`)
	b.do(chromedp.KeyEvent(" "))
	b.await(`document.documentElement.scrollWidth <= window.innerWidth`)
	b.do(chromedp.EmulateViewport(390, 844))
	b.await(`document.documentElement.scrollWidth <= window.innerWidth`)
	b.clean()
}
