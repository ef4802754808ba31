package web

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/ddpm-cluster/ddpm-cluster/coordinator/report"
)

// usualPoints is a curve's length where nobody says.
const usualPoints = 1000

// events is a stream of what /api/status has, as it changes: the event status is the
// document, the event curve the bins from the last one that was sent on, or all where
// their width has changed.
func (a api) events(w http.ResponseWriter, r *http.Request) {
	points, err := points(r, usualPoints)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s := stream{w: w, source: a.source, document: a.document, points: points}
	a.follow(w, r, "text/event-stream", s.tell)
}

// stream is one viewer's.
type stream struct {
	w        http.ResponseWriter
	source   Source
	document *Document
	points   int

	// The curve as it was sent.
	width, last, changes, olds uint64
}

// tell sends what is new. The status may be so old.
func (s *stream) tell(age time.Duration) error {
	status, err := s.document.Now(0, age)
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
	return nil
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
