package coordinator

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
)

// An interrupt ends the wait for whoever collects metrics.
func TestFarewellIsInterrupted(t *testing.T) {
	t.Parallel()
	c := launch(t, t.TempDir(), func(o *Options) { o.limits.farewell = 2 * wait }, "--workers", "1", "--steps", "5", "--metrics", "127.0.0.1:0")
	fetch(t, "http://"+waitFor(t, c.log, outletAt)+"/metrics")
	peers := c.team(1)
	peers[0].trained(4, 1)
	peers[0].finish(5, digest("f"))
	peers[0].dismissed()
	waitFor(t, c.log, farewell)
	c.interrupts <- os.Interrupt
	if err := c.end(); err != nil {
		t.Error(err)
	}
}

// At a port of --http, too, whoever collects metrics hears that the run is complete.
func TestFarewellByHTTP(t *testing.T) {
	t.Parallel()
	defer http.DefaultClient.CloseIdleConnections()
	c := launch(t, t.TempDir(), func(o *Options) { o.limits.farewell = 2 * wait }, "--workers", "1", "--steps", "5", "--http", "127.0.0.1:0")
	waitFor(t, c.log, statusLine)
	if text := string(c.get("metrics")); !strings.Contains(text, "\nddpm_complete 0\n") {
		t.Errorf("before the run it says\n%s", text)
	}
	peers := c.team(1)
	peers[0].trained(4, 1)
	peers[0].finish(5, digest("f"))
	peers[0].dismissed()
	waitFor(t, c.log, farewell)
	if text := string(c.get("metrics")); !strings.Contains(text, "\nddpm_complete 1\n") {
		t.Errorf("at the run's end it says\n%s", text)
	}
	if err := c.end(); err != nil {
		t.Error(err)
	}
}

// asking is a log that asks for the metrics when it is told that the run is complete, which
// is before they can show it.
type asking struct {
	*watched
	t    *testing.T
	text string
}

// Write implements io.Writer.
func (a *asking) Write(b []byte) (int, error) {
	n, err := a.watched.Write(b)
	if bytes.Contains(b, []byte("the run is complete already")) {
		a.text = fetch(a.t, "http://"+outletAt.FindStringSubmatch(a.watched.String())[1]+"/metrics")
	}
	return n, err
}

// One that finds the run complete has not begun another.
func TestFarewellOfOneCompleteBefore(t *testing.T) {
	t.Parallel()
	defer http.DefaultClient.CloseIdleConnections()
	dir := t.TempDir()
	c := launch(t, dir, nil, "--workers", "1", "--steps", "5")
	peers := c.team(1)
	peers[0].trained(4, 1)
	peers[0].finish(5, digest("f"))
	peers[0].dismissed()
	if err := c.end(); err != nil {
		t.Fatal(err)
	}
	log := &asking{watched: &watched{found: make(chan string, 1)}, t: t}
	o := Options{
		Config: settings(t, "--preset", "tiny", "--workers", "1", "--steps", "5", "--storage", dir, "--data-dir", t.TempDir(), "--listen", "127.0.0.1:0", "--insecure", "--metrics", "127.0.0.1:0"),
		Stdout: io.Discard, Stderr: log, limits: defaultLimits(),
	}
	o.limits.farewell = 2 * wait
	ended := make(chan error, 1)
	go func() { ended <- Run(t.Context(), o) }()
	saysComplete(t, log.watched)
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if !strings.Contains(log.text, "\nddpm_complete 0\n") {
		t.Errorf("before it knows it says\n%s", log.text)
	}
}

// One that stands by is alive, and shows that its run is not complete, and nothing else of one.
func TestOutletOfAStandby(t *testing.T) {
	t.Parallel()
	o := newOutlet()
	w := httptest.NewRecorder()
	o.metrics(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	text := w.Body.String()
	if err := o.alive(); err != nil || w.Code != http.StatusOK || !strings.Contains(text, "\nddpm_complete 0\n") || strings.Count(text, "\nddpm_") != 1 {
		t.Errorf("%v, %d, %s", err, w.Code, text)
	}
}

var farewell = regexp.MustCompile(`msg="waiting until the metrics are asked for once more"()`)

// saysComplete asks a coordinator at its end for its metrics, which is what it waits for.
func saysComplete(t *testing.T, log *watched) {
	t.Helper()
	waitFor(t, log, farewell)
	at := waitFor(t, log, outletAt)
	if text := fetch(t, "http://"+at+"/metrics"); !strings.Contains(text, "\nddpm_complete 1\n") {
		t.Errorf("at the run's end it says\n%s", text)
	}
}
