package main

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm"
)

// serveAway serves a folder as a bucket whose objects can be had whole, and of which no part can:
// the server goes away then, and asked hears of it.
func serveAway(t *testing.T, folder string, asked func()) string {
	t.Helper()
	t.Setenv("AWS_ACCESS_KEY_ID", "test")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "not-a-secret")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Range") != "" {
			asked()
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		http.ServeFile(w, r, filepath.Join(folder, filepath.FromSlash(strings.TrimPrefix(r.URL.Path, "/bucket/"))))
	}))
	t.Cleanup(server.Close)
	return "s3://bucket/datasets/x?insecure=true&region=us-east-1&endpoint=" + server.Listener.Addr().String()
}

// An interrupt ends a command that waits for a dataset in a Store that is away.
func TestInterruptedWhileTheStoreIsAway(t *testing.T) {
	for name, command := range map[string]func(folder, uri string) []string{
		"data show": func(folder, uri string) []string {
			return []string{"data", "show", uri, "--out", filepath.Join(folder, "x.png")}
		},
		"data step": func(folder, _ string) []string {
			return []string{"data", "step", "--run", "r", "--storage", folder}
		},
		"eval": func(folder, uri string) []string {
			return []string{"eval", "loss", "--run", "r", "--storage", folder, "--dataset", uri, "--n", "2", "--terms", "2"}
		},
		"bench wire": func(_, uri string) []string {
			return []string{"bench", "wire", "--preset", "tiny", "--data", uri}
		},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := ddpm.FindPreset("tiny")
			if err != nil {
				t.Fatal(err)
			}
			folder := t.TempDir()
			side, channels := strconv.Itoa(p.Spec.Model.Size), strconv.Itoa(p.Spec.Model.InChannels)
			if code, _, errs := ctl(t, "data", "import", someArrays, "x", "--size="+side, "--channels="+channels, "--storage="+folder); code != 0 {
				t.Fatal(errs)
			}
			ctx, interrupt := context.WithCancel(t.Context())
			defer interrupt()
			uri := serveAway(t, folder, interrupt)
			p.Spec.Dataset, p.Spec.DatasetLen = uri, 5
			publish(t, folder, p.Spec)
			var stdout, stderr bytes.Buffer
			ended := make(chan int, 1)
			go func() { ended <- run(ctx, command(folder, uri), &stdout, &stderr) }()
			select {
			case code := <-ended:
				if code != exitInterrupted || stderr.String() != "ddpmctl: interrupted\n" {
					t.Errorf("exit code %d, %s", code, &stderr)
				}
			case <-time.After(30 * time.Second):
				t.Fatal("it does not end")
			}
		})
	}
}
