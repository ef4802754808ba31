package storage

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minio/minio-go/v7/pkg/credentials"
)

// role is the server of a machine's role. What it gives has expired, so that it is asked
// for every request.
type role struct{ down atomic.Bool }

// startRole makes a role the only source of credentials.
func startRole(t *testing.T) *role {
	t.Helper()
	r := &role{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if r.down.Load() {
			http.Error(w, "", http.StatusServiceUnavailable)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{
			"AccessKeyId": "role", "SecretAccessKey": "not-a-secret", "Token": "t", "Expiration": time.Now().Add(-time.Second),
		})
	}))
	t.Cleanup(server.Close)
	noCredentials(t)
	t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", server.URL)
	return r
}

// While the server of the machine's role fails no request goes unsigned, which would be
// refused for good: it fails in a way that passes, and a patient Store outlasts it.
func TestRoleServerFails(t *testing.T) {
	fake := startFakeS3(t)
	r := startRole(t)
	fake.answer = func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.Header.Get("Authorization"), "Credential=role/") {
			s3Error(w, http.StatusForbidden, "AccessDenied")
			return true
		}
		return false
	}
	uri := "s3://bucket?insecure=true&region=us-east-1&endpoint=" + fake.address
	st := open(t, uri)
	put(t, st, "k", "content")
	r.down.Store(true)
	if _, _, err := st.Get(t.Context(), "k"); err == nil || !mayPass(err) || !strings.Contains(err.Error(), "get credentials: 503") {
		t.Errorf("the role's server is down: %v", err)
	}
	late := Patient(st, time.Minute, quiet()).(*patient)
	late.first = 5 * time.Millisecond
	late.retried = func(string) { r.down.Store(false) }
	if got := get(t, late, "k"); got != "content" {
		t.Errorf("got %q", got)
	}

	// One that fails from the start is not taken for none.
	r.down.Store(true)
	if err := Probe(t.Context(), open(t, uri), quiet()); err == nil || !strings.Contains(err.Error(), "the server of the machine's role") {
		t.Errorf("a start: %v", err)
	}
}

// rotating gives credentials of an hour, to be renewed after half of it, until it fails.
type rotating struct {
	credentials.Expiry
	asked int
	err   error
}

func (r *rotating) RetrieveWithCredContext(*credentials.CredContext) (credentials.Value, error) {
	r.asked++
	if r.err != nil {
		return credentials.Value{}, r.err
	}
	until := time.Now().Add(time.Hour)
	r.SetExpiration(until, 30*time.Minute)
	return credentials.Value{AccessKeyID: "role", SecretAccessKey: "not-a-secret", Expiration: until}, nil
}

func (r *rotating) Retrieve() (credentials.Value, error) { return r.RetrieveWithCredContext(nil) }

// Credentials that can't be renewed serve while they are valid, and are asked for now and
// then; after that the failure is told.
func TestCredentialsServeWhileValid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &rotating{}
		c := credentials.New(&source{providers: []credentials.Provider{&credentials.Static{}, r}})
		check := func(asked int, want error) {
			t.Helper()
			v, err := c.GetWithContext(nil)
			if !errors.Is(err, want) || r.asked != asked || want == nil && v.AccessKeyID != "role" {
				t.Errorf("after %d questions, not %d: %q, %v", r.asked, asked, v.AccessKeyID, err)
			}
		}
		lost := errors.New("connection refused")
		check(1, nil)
		r.err = lost
		time.Sleep(40 * time.Minute)
		check(2, nil)
		check(2, nil) // at once
		time.Sleep(renewPause + time.Second)
		check(3, nil)
		time.Sleep(30 * time.Minute)
		check(4, lost)
		check(5, lost)
		r.err = nil
		check(6, nil)
		check(6, nil)
	})
}

// noCredentials takes from the environment what credentials are found by.
func noCredentials(t *testing.T) {
	t.Helper()
	for _, name := range []string{
		"AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY", "AWS_SECRET_ACCESS_KEY", "AWS_SECRET_KEY", "MINIO_ROOT_USER", "MINIO_ROOT_PASSWORD", "MINIO_ACCESS_KEY", "MINIO_SECRET_KEY",
		"AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
	} {
		t.Setenv(name, "")
	}
	none := filepath.Join(t.TempDir(), "none")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", none)
	t.Setenv("AWS_CONFIG_FILE", none)
}
