package coordinator

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm"
	"github.com/ddpm-cluster/ddpm-cluster/storage"
	"github.com/ddpm-cluster/ddpm-cluster/storage/checkpoint"
)

// A dry run of a run that exists prints the config that it goes on with.
func TestDryRunOfAnExistingRun(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	run := func(args ...string) (string, error) {
		var out strings.Builder
		args = append([]string{"--workers", "1", "--data-dir", dir, "--run", "old", "--dry-run"}, args...)
		err := Run(t.Context(), Options{Config: settings(t, args...), Stdout: &out})
		return out.String(), err
	}
	if text, err := run(); err != nil || !strings.Contains(text, "preset: digits") || strings.Contains(text, "exists") {
		t.Errorf("a new run: %v\n%s", err, text)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("a dry run made the data dir")
	}

	preset, err := ddpm.FindPreset("tiny")
	if err != nil {
		t.Fatal(err)
	}
	preset.Spec.Batch = 4
	spec, err := preset.Spec.Encode()
	if err != nil {
		t.Fatal(err)
	}
	st, err := storage.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := checkpoint.CreateRun(t.Context(), st, "old", spec); err != nil {
		t.Fatal(err)
	}
	text, err := run()
	for _, want := range []string{"# Run old exists", "preset: tiny", "batch: 4"} {
		if err != nil || !strings.Contains(text, want) {
			t.Errorf("no %q, %v:\n%s", want, err, text)
		}
	}
	if _, err := run("--batch", "8"); !errors.As(err, new(UsageError)) || !strings.Contains(err.Error(), "batch: 8, not 4") {
		t.Errorf("another config: %v", err)
	}
	if _, err := run("--storage", "ftp://x"); !errors.As(err, new(UsageError)) || !strings.Contains(err.Error(), "--storage") {
		t.Errorf("a Store that can't be: %v", err)
	}
	if text, err := run("--storage", "s3://bucket?endpoint=127.0.0.1:1"); err != nil || !strings.Contains(text, "is not known") {
		t.Errorf("a Store that nobody reaches: %v\n%s", err, text)
	}
}

// What only reads an S3 Store says what to do where it can't.
func TestDryRunAdvises(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "test")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "not-a-secret")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, "<Error><Code>SignatureDoesNotMatch</Code><Message>no</Message></Error>")
	}))
	defer server.Close()
	uri := "s3://bucket/p?region=us-east-1&insecure=true&endpoint=" + server.Listener.Addr().String()
	run := func(args ...string) (string, error) {
		var out strings.Builder
		args = append([]string{"--workers", "1", "--data-dir", t.TempDir(), "--run", "r", "--dry-run"}, args...)
		err := Run(t.Context(), Options{Config: settings(t, args...), Stdout: &out})
		return out.String(), err
	}
	const advice = "; the server does not know these credentials"
	if text, err := run("--storage", uri); err != nil || !strings.Contains(text, advice) {
		t.Errorf("its Store: %v\n%s", err, text)
	}
	if _, err := run("--init", uri); err == nil || !strings.Contains(err.Error(), advice) {
		t.Errorf("--init: %v", err)
	}
}
