package web

import (
	"encoding/json"
	"sync"
	"time"
)

// Document is the status as all who look hear it: of hundreds of workers it takes longer
// to write than to send.
type Document struct {
	source Source

	mu   sync.Mutex
	at   time.Time
	text []byte
}

// NewDocument makes one of a run.
func NewDocument(s Source) *Document { return &Document{source: s} }

// Now is the document, JSON without a line's end. Without points, which are how many bins
// the curve has at most, it may be so old that others have heard it already.
func (d *Document) Now(points int, age time.Duration) ([]byte, error) {
	if points > 0 {
		s := d.source.Status()
		s.Curve = d.source.Curve(0, points)
		return json.Marshal(s)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.text != nil && time.Since(d.at) < age {
		return d.text, nil
	}
	text, err := json.Marshal(d.source.Status())
	if err != nil {
		return nil, err
	}
	d.at, d.text = time.Now(), text
	return text, nil
}
