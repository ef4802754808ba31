package kube

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// api is an API server that knows Secrets alone.
type api struct {
	mu      sync.Mutex
	secrets map[string]secretObject
	// before is called ahead of each creation.
	before func()
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	refuse := func(code int, message string) {
		w.WriteHeader(code)
		_ = json.NewEncoder(w).Encode(map[string]any{"kind": "Status", "message": message})
	}
	name, ok := strings.CutPrefix(r.URL.Path, "/api/v1/namespaces/ns/secrets")
	name = strings.TrimPrefix(name, "/")
	switch {
	case !ok:
		refuse(http.StatusNotFound, "no such path")
	case r.Header.Get("Authorization") != "Bearer account":
		refuse(http.StatusForbidden, "User \"system:anonymous\" cannot do that")
	case r.Method == http.MethodGet:
		s, ok := a.secrets[name]
		if !ok {
			refuse(http.StatusNotFound, "not found")
			return
		}
		_ = json.NewEncoder(w).Encode(s)
	case r.Method == http.MethodPost:
		if a.before != nil {
			a.before()
		}
		var s secretObject
		if err := json.NewDecoder(r.Body).Decode(&s); err != nil || s.Kind != "Secret" || s.APIVersion != "v1" || s.Metadata.Namespace != "ns" {
			refuse(http.StatusBadRequest, "malformed")
			return
		}
		if _, there := a.secrets[s.Metadata.Name]; there {
			refuse(http.StatusConflict, "already exists")
			return
		}
		a.secrets[s.Metadata.Name] = s
		w.WriteHeader(http.StatusCreated)
		_ = json.NewEncoder(w).Encode(s)
	}
}

// pod is a client of the API server with a service account.
func pod(t *testing.T, a *api, account string) *Client {
	t.Helper()
	server := httptest.NewTLSServer(a)
	t.Cleanup(server.Close)
	at, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	for name, text := range map[string]string{"namespace": "ns", "token": account + "\n", "ca.crt": string(authority)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	env := map[string]string{"KUBERNETES_SERVICE_HOST": at.Hostname(), "KUBERNETES_SERVICE_PORT": at.Port()}
	c, err := InPod(dir, func(k string) string { return env[k] })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.http.CloseIdleConnections)
	return c
}

func drawn(value string) func() (Secret, error) {
	return func() (Secret, error) {
		return Secret{Type: "Opaque", Labels: map[string]string{"a": "b"}, Data: map[string][]byte{"token": []byte(value)}}, nil
	}
}

func TestEnsureMakesOnce(t *testing.T) {
	a := &api{secrets: map[string]secretObject{}}
	c := pod(t, a, "account")
	for i, want := range []bool{true, false} {
		made, err := Ensure(t.Context(), c, "s", []string{"token"}, drawn(string(rune('1'+i))))
		if err != nil || made != want {
			t.Fatalf("made %v, %v", made, err)
		}
	}
	s, err := c.Secret(t.Context(), "s")
	if err != nil || string(s.Data["token"]) != "1" || s.Labels["a"] != "b" || s.Type != "Opaque" {
		t.Errorf("%+v, %v", s, err)
	}
	if _, err := Ensure(t.Context(), c, "s", []string{"token", "other"}, drawn("")); err == nil || !strings.Contains(err.Error(), "has no other") {
		t.Errorf("a Secret without a key: %v", err)
	}
}

// Of two that make it at once, one does, and both have the same.
func TestEnsureWhereAnotherIsQuicker(t *testing.T) {
	a := &api{secrets: map[string]secretObject{}}
	a.before = func() {
		s := secretObject{Data: map[string][]byte{"token": []byte("theirs")}}
		s.Metadata.Name = "s"
		a.secrets["s"] = s
	}
	made, err := Ensure(t.Context(), pod(t, a, "account"), "s", []string{"token"}, drawn("ours"))
	if made || err != nil || string(a.secrets["s"].Data["token"]) != "theirs" {
		t.Errorf("made %v, %v, %v", made, err, a.secrets)
	}
}

func TestRefusals(t *testing.T) {
	a := &api{secrets: map[string]secretObject{}}
	if _, err := pod(t, a, "another").Secret(t.Context(), "s"); err == nil || !strings.Contains(err.Error(), "403: User") {
		t.Errorf("without rights: %v", err)
	}
	if _, err := pod(t, a, "account").Secret(t.Context(), "s"); !errors.Is(err, ErrNotFound) {
		t.Errorf("where there is none: %v", err)
	}
	if _, err := InPod(t.TempDir(), func(string) string { return "" }); err == nil || !strings.Contains(err.Error(), "this is no pod") {
		t.Errorf("elsewhere: %v", err)
	}
	if _, err := InPod(t.TempDir(), func(string) string { return "1" }); err == nil || !strings.Contains(err.Error(), "service account") {
		t.Errorf("without an account: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := pod(t, a, "account").Secret(ctx, "s"); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
