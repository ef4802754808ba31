package web

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/ddpm-cluster/ddpm-cluster/coordinator/report"
)

const (
	// every is how often somebody who looks hears what has changed.
	every = time.Second
	// fresh is how old the status may be that they hear, since it is written for all.
	fresh = every / 2
	// viewers is how many may look at once.
	viewers = 100
	// usualPoints is a curve's length where nobody says.
	usualPoints = 1000
)

// events is a stream of what /api/status has, as it changes: the event status is the
// document, the event curve the bins from the last one that was sent on, or all where
// their width has changed.
func (a api) events(w http.ResponseWriter, r *http.Request) {
	points, err := points(r, usualPoints)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	select {
	case a.places <- struct{}{}:
		defer func() { <-a.places }()
	default:
		http.Error(w, fmt.Sprintf("%d are looking already", viewers), http.StatusServiceUnavailable)
		return
	}
	s := stream{w: w, control: http.NewResponseController(w), source: a.source, newest: a.newest, points: points}
	w.Header().Set("Content-Type", "text/event-stream")
	// The server would take a request that lasts for one that does not come.
	if err := s.control.SetReadDeadline(time.Time{}); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for s.tell(fresh) == nil {
		select {
		case <-ticker.C:
		case <-r.Context().Done():
			return
		case <-a.over:
			_ = s.tell(0) // how the run ended
			return
		}
	}
}

// stream is one viewer's.
type stream struct {
	w       http.ResponseWriter
	control *http.ResponseController
	source  Source
	newest  *newest
	points  int

	// The curve as it was sent.
	width, last, changes, olds uint64
}

// newest is the status as all who look hear it: of hundreds of workers it takes longer
// to write than to send.
type newest struct {
	mu   sync.Mutex
	at   time.Time
	text []byte
}

// status is the document, at most so old.
func (n *newest) status(s Source, age time.Duration) ([]byte, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.text != nil && time.Since(n.at) < age {
		return n.text, nil
	}
	text, err := json.Marshal(s.Status())
	if err != nil {
		return nil, err
	}
	n.at, n.text = time.Now(), text
	return text, nil
}

// tell sends what is new. The status may be so old.
func (s *stream) tell(age time.Duration) error {
	if err := s.control.SetWriteDeadline(time.Now().Add(writeLimit)); err != nil {
		return err
	}
	status, err := s.newest.status(s.source, age)
	if err == nil {
		err = s.write("status", status)
	}
	if err != nil {
		return err
	}
	curve := s.source.Curve(s.last, s.points)
	if curve.Width != s.width || curve.Olds != s.olds {
		curve = s.source.Curve(0, s.points)
	}
	if curve.Changes != s.changes || s.width == 0 {
		text, err := json.Marshal(curve)
		if err == nil {
			err = s.write("curve", text)
		}
		if err != nil {
			return err
		}
		s.sent(curve)
	}
	return s.control.Flush()
}

func (s *stream) sent(c *report.Curve) {
	if n := len(c.Step); n > 0 {
		s.last = c.Step[n-1]
	}
	s.width, s.changes, s.olds = c.Width, c.Changes, c.Olds
}

func (s *stream) write(event string, text []byte) error {
	_, err := fmt.Fprintf(s.w, "event: %s\ndata: %s\n\n", event, text)
	return err
}
