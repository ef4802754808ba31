package storage

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"
)

// answerWith puts size bytes to a server that handles them as given, over a
// transport that gives up a stalled connection.
func answerWith(t *testing.T, size int, stall time.Duration, handle http.HandlerFunc) error {
	t.Helper()
	server := httptest.NewServer(handle)
	t.Cleanup(server.Close)
	transport, err := newTransport(false, stall)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(transport.CloseIdleConnections)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPut, server.URL, strings.NewReader(strings.Repeat("x", size)))
	if err != nil {
		t.Fatal(err)
	}
	answer, err := transport.RoundTrip(request)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, answer.Body)
	return errors.Join(err, answer.Body.Close())
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout()
}

// A server that hangs, before it has taken all or before it has given all, is not
// waited for.
func TestStalledServer(t *testing.T) {
	over := make(chan struct{})
	defer close(over) // before the servers are closed, which wait for their handlers
	for name, handle := range map[string]http.HandlerFunc{
		"takes nothing": func(http.ResponseWriter, *http.Request) { <-over },
		"gives half": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "10")
			_, _ = io.WriteString(w, "half ")
			_ = http.NewResponseController(w).Flush()
			_, _ = io.Copy(io.Discard, r.Body)
			<-over
		},
	} {
		if err := answerWith(t, 64<<20, 300*time.Millisecond, handle); !isTimeout(err) {
			t.Errorf("a server that %s: %v, want a timeout", name, err)
		}
	}
}

// A server that is slow is waited for, though a whole request takes longer than a
// stall may.
func TestSlowServer(t *testing.T) {
	t.Parallel()
	const stall = 5 * time.Second // far more than a busy machine takes between two of the server's turns
	err := answerWith(t, 64<<20, stall, func(w http.ResponseWriter, r *http.Request) {
		for end := time.Now().Add(stall * 3 / 2); time.Now().Before(end); time.Sleep(stall / 50) {
			// A kernel wakes a writer when it has sent megabytes of what it was given.
			if _, err := io.CopyN(io.Discard, r.Body, 512<<10); err != nil {
				break
			}
		}
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, "done")
	})
	if err != nil {
		t.Error(err)
	}
}
