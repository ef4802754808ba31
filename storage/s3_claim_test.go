package storage

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// startClaimed starts a server on which keys are claimed; a claim is written under for work
// without a renewal.
func startClaimed(t *testing.T, work time.Duration) (*fakeS3, Store) {
	fake := startFakeS3(t)
	st := open(t, "s3://bucket/p?insecure=true&region=us-east-1&endpoint="+fake.address).(*s3)
	st.claims.Store(true)
	st.claimWork = work
	return fake, st
}

func isClaim(r *http.Request) bool { return strings.Contains(r.URL.Path, tempPrefix+"claim-") }

func create(ctx context.Context, st Store, key, content string) error {
	_, err := st.PutIfAbsent(ctx, key, strings.NewReader(content), int64(len(content)), "text/plain")
	return err
}

// alone says that a server has the key and nothing else.
func alone(t *testing.T, fake *fakeS3, want ...string) {
	t.Helper()
	fake.mu.Lock()
	defer fake.mu.Unlock()
	var names []string
	for name := range fake.objects {
		names = append(names, name)
	}
	if strings.Join(names, " ") != strings.Join(want, " ") {
		t.Errorf("the server has %q, want %q", names, want)
	}
}

// An object that takes longer than a claim is written under without a renewal is created: the
// claim is renewed.
func TestClaimOutlastsASlowObject(t *testing.T) {
	fake, st := startClaimed(t, 2*time.Second)
	var writings atomic.Int64
	later := make(chan struct{}) // closed by the fourth renewal, each after a third of that
	fake.answer = func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPut {
			return false
		}
		if isClaim(r) {
			if writings.Add(1) == 5 {
				close(later)
			}
			return false
		}
		select {
		case <-later:
		case <-time.After(30 * time.Second):
			t.Error("the claim is not renewed")
		}
		return false
	}
	if err := create(t.Context(), st, "k", "content"); err != nil {
		t.Fatal(err)
	}
	if got := get(t, st, "k"); got != "content" {
		t.Errorf("got %q", got)
	}
	alone(t, fake, "p/k")
}

// Whoever can't renew its claim writes nothing more, since others pass over it one day; it
// may be tried again.
func TestLostClaimEndsTheWriting(t *testing.T) {
	fake, st := startClaimed(t, 600*time.Millisecond)
	var writings atomic.Int64
	fake.answer = func(w http.ResponseWriter, r *http.Request) bool {
		switch {
		case r.Method != http.MethodPut:
			return false
		case !isClaim(r):
			if _, err := payload(r); err == nil {
				<-r.Context().Done()
			}
			return true
		case writings.Add(1) > 1:
			s3Error(w, http.StatusServiceUnavailable, "SlowDown")
			return true
		}
		return false
	}
	if err := create(t.Context(), st, "k", "content"); !errors.Is(err, errUnclaimed) || !mayPass(err) {
		t.Errorf("without a renewal: %v", err)
	}
	alone(t, fake)
}

// A claim counts by when it was written last; a dead writer's is passed over.
func TestClaimsOfOthers(t *testing.T) {
	fake, st := startClaimed(t, claimWork)
	const theirs = "p/" + tempPrefix + "claim-k/THEIRS"
	fake.objects[theirs] = nil
	fake.written = map[string]string{theirs: "2026-01-02T02:54:06.000Z"} // a second too young
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := create(ctx, st, "k", "ours"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("against another's claim: %v", err)
	}
	alone(t, fake, theirs)
	fake.written[theirs] = "2026-01-02T02:54:05.000Z"
	if err := create(t.Context(), st, "k", "ours"); err != nil {
		t.Errorf("past a dead writer's claim: %v", err)
	}
	delete(fake.objects, theirs)
	alone(t, fake, "p/k")
}

// A large object that the server could not take is sent again under its claim.
func TestClaimedObjectIsSentAgain(t *testing.T) {
	fake, st := startClaimed(t, claimWork)
	failures := 2
	fake.answer = func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPut || isClaim(r) || failures == 0 {
			return false
		}
		failures--
		s3Error(w, http.StatusServiceUnavailable, "SlowDown")
		return true
	}
	large := strings.Repeat("large ", wholePut/6+1)
	if err := create(t.Context(), st, "k", large); err != nil {
		t.Fatal(err)
	}
	if got := get(t, st, "k"); got != large || failures != 0 {
		t.Errorf("got %d bytes with %d failures to come", len(got), failures)
	}
	alone(t, fake, "p/k")
}
