package coordinator

import (
	"context"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"
)

// The port of --metrics shows them and health, and nothing that is administrators'.
func TestOutlet(t *testing.T) {
	t.Parallel()
	defer http.DefaultClient.CloseIdleConnections()
	dir := t.TempDir()
	bend := func(o *Options) { o.limits.farewell = 2 * wait }
	c := launch(t, dir, bend, "--workers", "1", "--steps", "5", "--metrics", "127.0.0.1:0")
	m := outletAt.FindStringSubmatch(c.log.String())
	if m == nil {
		t.Fatalf("it does not say where its metrics are:\n%s", c.log)
	}
	for path, want := range map[string]string{"/healthz": "200 ok", "/metrics": "200 ", "/api/status": "404 ", "/": "404 "} {
		r, err := http.Get("http://" + m[1] + path)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		if got := r.Status[:4] + string(text); !strings.HasPrefix(got, want) || path == "/metrics" && (!strings.Contains(got, "\nddpm_steps_total ") || !strings.Contains(got, "\nddpm_sampling_leading ") || !strings.Contains(got, "\nddpm_store_requests_total{operation=\"put_if_absent\"} ")) {
			t.Errorf("%s: %s", path, got)
		}
		if err := r.Body.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if text := fetch(t, "http://"+m[1]+"/metrics"); !strings.Contains(text, "\nddpm_complete 0\n") {
		t.Errorf("before the run it says\n%s", text)
	}
	peers := c.team(1)
	peers[0].trained(4, 1)
	// Whoever collects metrics hears that nothing is wrong when they are gone.
	peers[0].finish(5, digest("f"))
	peers[0].dismissed()
	saysComplete(t, c.log)
	if err := c.end(); err != nil {
		t.Error(err)
	}
	// Where nobody has asked nobody is waited for, as by one that finds the run complete: with
	// its etcd, and without.
	for _, data := range []string{dir, t.TempDir()} {
		log := &watched{found: make(chan string, 1)}
		o := Options{
			Config: settings(t, "--preset", "tiny", "--workers", "1", "--steps", "5", "--storage", dir, "--data-dir", data, "--listen", "127.0.0.1:0", "--insecure", "--metrics", "127.0.0.1:0"),
			Stdout: io.Discard, Stderr: log, limits: defaultLimits(),
		}
		bend(&o)
		if err := Run(t.Context(), o); err != nil || farewell.MatchString(log.String()) {
			t.Errorf("%v:\n%s", err, log)
		}
	}
}

var outletAt = regexp.MustCompile(`msg="metrics, to whoever asks" .*at=(\S+)`)

// waitFor waits until a log says something, and gives the part in parentheses.
func waitFor(t *testing.T, log *watched, what *regexp.Regexp) string {
	t.Helper()
	for until := time.Now().Add(wait); ; time.Sleep(10 * time.Millisecond) {
		if m := what.FindStringSubmatch(log.String()); m != nil {
			return m[1]
		}
		if time.Now().After(until) {
			t.Fatalf("the log does not say %s:\n%s", what, log)
		}
	}
}

// A coordinator that serves the pool alone has that one's metrics, on both ports.
func TestMetricsOfThePoolAlone(t *testing.T) {
	t.Parallel()
	defer http.DefaultClient.CloseIdleConnections()
	log := &watched{found: make(chan string, 1)}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- Run(ctx, Options{
			Config: settings(t, "--serve-samples", "--data-dir", t.TempDir(), "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--metrics", "127.0.0.1:0", "--pprof", "127.0.0.1:0", "--insecure"),
			Stdout: io.Discard, Stderr: log,
		})
	}()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	address := regexp.MustCompile(`msg="(?:metrics, to whoever asks|jobs over HTTP)" .*at=(?:http://)?([0-9.:]+)`)
	var ports [][]string
	for until := time.Now().Add(wait); len(ports) < 2; time.Sleep(10 * time.Millisecond) {
		if ports = address.FindAllStringSubmatch(log.String(), -1); time.Now().After(until) {
			t.Fatalf("it does not say where its metrics are:\n%s", log)
		}
	}
	m := regexp.MustCompile(`msg="profiles, to administrators" .*at=(\S+)`).FindStringSubmatch(log.String())
	if m == nil {
		t.Fatalf("it does not say where its profiles are:\n%s", log)
	}
	if text := fetch(t, "http://"+m[1]+"/debug/pprof/goroutine?debug=1"); !strings.Contains(text, "goroutine profile") {
		t.Errorf("its profiles: %s", text)
	}
	for _, port := range ports {
		for until := time.Now().Add(wait); ; time.Sleep(10 * time.Millisecond) {
			text := fetch(t, "http://"+port[1]+"/metrics")
			if strings.Contains(text, "\nddpm_step ") || !strings.Contains(text, "\ngo_goroutines ") || !strings.Contains(text, `ddpm_store_requests_total{operation="get"} 0`) {
				t.Fatalf("at %s:\n%s", port[1], text)
			}
			if strings.Contains(text, `ddpm_sampling_tasks{state="waiting"} 0`) {
				break // it leads by now
			}
			if time.Now().After(until) {
				t.Fatalf("at %s it does not come to lead:\n%s", port[1], text)
			}
		}
	}
}

// fetch gives what is at a URL.
func fetch(t *testing.T, url string) string {
	t.Helper()
	r, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v", url, r.Status, err)
	}
	return string(text)
}
