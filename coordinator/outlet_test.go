package coordinator

import (
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

// The port of --metrics shows them and health, and nothing that is administrators'.
func TestOutlet(t *testing.T) {
	t.Parallel()
	defer http.DefaultClient.CloseIdleConnections()
	c := launch(t, t.TempDir(), nil, "--workers", "1", "--steps", "5", "--metrics", "127.0.0.1:0")
	m := regexp.MustCompile(`msg="metrics, to whoever asks" .*at=(\S+)`).FindStringSubmatch(c.log.String())
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
		if got := r.Status[:4] + string(text); !strings.HasPrefix(got, want) || path == "/metrics" && !strings.Contains(got, "\nddpm_steps_total ") {
			t.Errorf("%s: %s", path, got)
		}
		if err := r.Body.Close(); err != nil {
			t.Fatal(err)
		}
	}
	peers := c.team(1)
	peers[0].trained(4, 1)
	c.finished(5, peers[0])
}

// One that stands by is alive, and has nothing to show.
func TestOutletOfAStandby(t *testing.T) {
	var o outlet
	w := httptest.NewRecorder()
	o.metrics(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if err := o.alive(); err != nil || w.Code != http.StatusOK || w.Body.Len() > 0 {
		t.Errorf("%v, %d, %s", err, w.Code, w.Body)
	}
}
