package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

const (
	// every is how often somebody who looks hears what has changed.
	every = time.Second
	// fresh is how old the status may be that they hear, since it is written for all.
	fresh = every / 2
	// viewers is how many may look at once.
	viewers = 100
)

// ErrFull says that nobody else can look on now.
var ErrFull = fmt.Errorf("%d are looking already", viewers)

// Viewers lets those who look on hear of a run until it is over.
type Viewers struct {
	over   <-chan struct{}
	places chan struct{}
}

// NewViewers makes room for a bounded number of them. over is closed when the run is.
func NewViewers(over <-chan struct{}) Viewers {
	return Viewers{over: over, places: make(chan struct{}, viewers)}
}

// Follow tells one of them once a second until ctx ends or that fails, and how the run
// ended. What is told may be so old. ErrFull.
func (v Viewers) Follow(ctx context.Context, tell func(age time.Duration) error) error {
	select {
	case v.places <- struct{}{}:
		defer func() { <-v.places }()
	default:
		return ErrFull
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		if err := tell(fresh); err != nil {
			return err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		case <-v.over:
			return tell(0)
		}
	}
}

// follow answers with a stream.
func (a api) follow(w http.ResponseWriter, r *http.Request, kind string, tell func(age time.Duration) error) {
	control := http.NewResponseController(w)
	w.Header().Set("Content-Type", kind)
	// The server would take a request that lasts for one that does not come.
	if err := control.SetReadDeadline(time.Time{}); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	err := a.viewers.Follow(r.Context(), func(age time.Duration) error {
		if err := control.SetWriteDeadline(time.Now().Add(writeLimit)); err != nil {
			return err
		}
		if err := tell(age); err != nil {
			return err
		}
		return control.Flush()
	})
	if errors.Is(err, ErrFull) { // anything else is a viewer that is gone
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
	}
}
