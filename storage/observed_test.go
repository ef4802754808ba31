package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/iotest"
	"time"
)

// heard counts what an Observer is told.
type heard struct {
	mu    sync.Mutex
	times map[string]int
}

func (h *heard) count(what, operation string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.times == nil {
		h.times = map[string]int{}
	}
	h.times[what+" "+operation]++
}

func (h *heard) Requested(operation string) { h.count("requested", operation) }
func (h *heard) Failed(operation string)    { h.count("failed", operation) }
func (h *heard) Retried(operation string)   { h.count("retried", operation) }

func (h *heard) want(t *testing.T, want map[string]int) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	if !maps.Equal(h.times, want) {
		t.Errorf("heard %v, want %v", h.times, want)
	}
	h.times = nil
}

// Every operation is heard of; what is missing or there already is no failure.
func TestObserved(t *testing.T) {
	h := new(heard)
	st := Observed(open(t, t.TempDir()), h)
	ctx := t.Context()
	put(t, st, "k", "content")
	if _, err := st.PutIfAbsent(ctx, "k", strings.NewReader("x"), 1, "text/plain"); !errors.Is(err, ErrExists) {
		t.Error(err)
	}
	if _, _, err := st.Get(ctx, "none"); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	if r, err := st.GetRange(ctx, "k", 2, 3); err != nil {
		t.Error(err)
	} else if text, err := io.ReadAll(r); string(text) != "nte" || errors.Join(err, r.Close()) != nil {
		t.Errorf("%q, %v", text, err)
	}
	if _, err := st.List(ctx, ""); err != nil {
		t.Error(err)
	}
	if err := errors.Join(st.Delete(ctx, "k")); err != nil {
		t.Error(err)
	}
	if err := st.Delete(ctx, "../k"); err == nil {
		t.Error("a bad key is taken")
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := st.Put(ended, "k", strings.NewReader("x"), 1, "text/plain"); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	h.want(t, map[string]int{"requested put": 2, "requested put_if_absent": 1, "requested get": 2, "requested list": 1, "requested delete": 2})
}

// What the S3 client repeats by itself is heard of, be it in vain or not.
func TestObservedRequests(t *testing.T) {
	fake := startFakeS3(t)
	h := new(heard)
	st := Observed(open(t, "s3://bucket?insecure=true&region=us-east-1&endpoint="+fake.address), h)
	failures, code, name := 1, http.StatusServiceUnavailable, "SlowDown"
	fake.answer = func(w http.ResponseWriter, _ *http.Request) bool {
		if failures == 0 {
			return false
		}
		failures--
		s3Error(w, code, name)
		return true
	}
	put(t, st, "k", "content")
	h.want(t, map[string]int{"requested put": 1, "retried put": 1})
	failures, code, name = 1, http.StatusForbidden, "AccessDenied"
	if _, _, err := st.Get(t.Context(), "k"); err == nil {
		t.Error("a refusal passes")
	}
	h.want(t, map[string]int{"requested get": 1, "failed get": 1})
}

// stumbling fails so often, then not.
type stumbling struct {
	Store
	failures int
}

func (f *stumbling) Put(ctx context.Context, key string, r io.Reader, size int64, contentType string) (Info, error) {
	if f.failures > 0 {
		f.failures--
		return Info{}, fmt.Errorf("storage: put: %w", syscall.ENOSPC)
	}
	return f.Store.Put(ctx, key, r, size, contentType)
}

// Get opens what breaks after two bytes.
func (f *stumbling) Get(ctx context.Context, key string) (io.ReadCloser, Info, error) {
	body, info, err := f.Store.Get(ctx, key)
	if err != nil {
		return nil, info, err
	}
	broken := io.MultiReader(io.LimitReader(body, 2), iotest.ErrReader(syscall.ECONNRESET))
	return struct {
		io.Reader
		io.Closer
	}{broken, body}, info, nil
}

// What Patient tries again is heard of.
func TestObservedPatient(t *testing.T) {
	h := new(heard)
	st := Patient(Observed(&stumbling{Store: open(t, t.TempDir()), failures: 2}, h), time.Minute, quiet()).(*patient)
	st.first = time.Millisecond
	if _, err := st.Put(t.Context(), "k", &again{data: []byte("content")}, 7, "text/plain"); err != nil {
		t.Fatal(err)
	}
	h.want(t, map[string]int{"requested put": 3, "failed put": 2, "retried put": 2})
	r, _, err := st.Get(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(r); string(text) != "content" || errors.Join(err, r.Close()) != nil {
		t.Errorf("%q, %v", text, err)
	}
	h.want(t, map[string]int{"requested get": 2, "failed get": 1, "retried get": 1})
}
