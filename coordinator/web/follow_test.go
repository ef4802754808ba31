package web

import (
	"bufio"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/ddpm-cluster/ddpm-cluster/coordinator/report"
)

// The status can be followed: a document a line, and one of how the run ended.
func TestStatusFollowed(t *testing.T) {
	t.Parallel()
	f, url, stop := serve(t, nil)
	f.train(1)
	r, err := http.Get(url + "/api/status?watch=1&points=10")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if kind := r.Header.Get("Content-Type"); kind != "application/jsonl" {
		t.Errorf("it is %s", kind)
	}
	lines := bufio.NewScanner(r.Body)
	if !lines.Scan() || !strings.Contains(lines.Text(), `"step":1,`) || !strings.Contains(lines.Text(), `"curve":{"width":1`) {
		t.Errorf("at first %s, %v", lines.Text(), lines.Err())
	}
	f.train(2)
	if !lines.Scan() || !strings.Contains(lines.Text(), `"step":2,`) {
		t.Errorf("then %s, %v", lines.Text(), lines.Err())
	}
	f.mu.Lock()
	f.status.Phase = "ended"
	f.mu.Unlock()
	stop()
	last := ""
	for lines.Scan() {
		last = lines.Text()
	}
	if lines.Err() != nil || !strings.Contains(last, `"phase":"ended"`) {
		t.Errorf("the last word is %s, %v", last, lines.Err())
	}
}

// Where all places are taken the next one is told so, and a place that is left is free.
func TestPlacesOfViewers(t *testing.T) {
	t.Parallel()
	v := Viewers{over: make(chan struct{}), places: make(chan struct{}, 1)}
	a := api{source: &fake{history: report.NewHistory()}, viewers: v}
	gone := errors.New("the viewer is gone")
	for range 2 {
		err := v.Follow(t.Context(), func(time.Duration) error {
			answer := httptest.NewRecorder()
			a.follow(deadlines{answer}, httptest.NewRequest(http.MethodGet, "/", nil), "application/jsonl", nil)
			if answer.Code != http.StatusServiceUnavailable || !strings.Contains(answer.Body.String(), "are looking already") {
				t.Errorf("one too many is answered %d %s", answer.Code, answer.Body)
			}
			return gone
		})
		if !errors.Is(err, gone) {
			t.Error(err)
		}
	}
}

// deadlines lets a recorder have deadlines.
type deadlines struct{ http.ResponseWriter }

func (deadlines) SetReadDeadline(time.Time) error  { return nil }
func (deadlines) SetWriteDeadline(time.Time) error { return nil }
