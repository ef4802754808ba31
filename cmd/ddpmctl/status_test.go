package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/ddpm-cluster/ddpm-cluster/coordinator/report"
)

// aStatus is a run with something of everything.
func aStatus() report.Status {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	before := now.Add(-90 * time.Second)
	return report.Status{
		Run: "digits", At: now, Phase: "training", Reason: "worker w2 is gone", Step: 1234, Steps: 20000, Loss: 0.03, LossMean: 0.0312,
		ImagesPerSecond: 181.5, SecondsPerStep: 0.35, SecondsLeft: 6568, Stages: report.Stages{Compute: 0.31, Reduce: 0.03, Update: 0.01}, Skipped: 2, Generation: 3,
		HalvingElems: 524288, AllReduce: "halving up to 524288 elements, ring above: 8 members, 80 us a hop, 7.9 Gbit/s",
		Workers:    []report.Worker{{ID: "w1", Place: report.Place{Hostname: "node-a", PID: 17, CPULevel: "avx2", Threads: 4}, Shards: 8, ShardRate: 2.5, Step: 1234, SeenSeconds: 0.1}},
		Gone:       []report.Worker{{ID: "w2", Place: report.Place{Hostname: "node-b"}, Gone: "its link broke", GoneAt: &before}},
		History:    []report.Generation{{Number: 3, Members: 1, StartStep: 1200, Reason: "worker w2 is gone", At: before}},
		Checkpoint: &report.Checkpoint{Step: 1200, Bytes: 3 << 20, Digest: "sha256:0123456789abcdef0123", At: &before},
		GivenUp:    1, LastGivenUp: "step 1100: the Store is away",
	}
}

// statusAt serves a status and no jobs.
func statusAt(t *testing.T, now report.Status) string {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("/api/samples", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("[]")) })
	mux.HandleFunc("/api/status", func(w http.ResponseWriter, r *http.Request) {
		now := now
		if r.URL.Query().Get("points") != "" {
			now.Curve = report.NewHistory().Curve(0, 1)
		}
		_ = json.NewEncoder(w).Encode(now) // a client that is gone
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

func told(t *testing.T, want int, args ...string) (stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	if code := run(t.Context(), append([]string{"status"}, args...), &out, &errs); code != want {
		t.Fatalf("%v: exit code %d, want %d: %s", args, code, want, &errs)
	}
	return out.String(), errs.String()
}

func TestStatusForPeople(t *testing.T) {
	t.Parallel()
	got, _ := told(t, 0, "--http", statusAt(t, aStatus()))
	for _, want := range []string{
		"run digits · training · generation 3\nworker w2 is gone\n",
		"step 1,234 of 20,000 (6.2%) · loss 0.0312 · 181.5 images/s · 1h49m28s left\n",
		"a step takes 350 ms: compute 310 ms, all-reduce 30 ms, update 10 ms\n",
		"\nall-reduce  halving up to 524288 elements, ring above: 8 members, 80 us a hop, 7.9 Gbit/s\n",
		"2 steps skipped: the gradient overflowed", "newest checkpoint: step 1,200, 1m30s ago, 3.0 MiB, sha256:0123456789ab",
		"1 checkpoint was given up, the last one of step 1100: the Store is away\n",
		"WORKER  HOST", "w1      node-a  17   avx2  4        8       2.50      1234  100 ms ago\n",
		"w2 on node-b, 1m30s ago: its link broke\n", "3, from step 1,200, 1 member, 1m30s ago: worker w2 is gone\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}

// Before anything has happened the page says so, rather than numbers that are none.
func TestStatusOfTheBeginning(t *testing.T) {
	t.Parallel()
	n := report.Unknown()
	got, _ := told(t, 0, "--http", statusAt(t, report.Status{Run: "r", Phase: "waiting", LossMean: n, ImagesPerSecond: n, SecondsLeft: n, SecondsPerStep: n}))
	if !strings.Contains(got, "loss – · – images/s · – left\nno checkpoint yet\nno workers\n") || strings.Contains(got, "NaN") {
		t.Error(got)
	}
}

// --json is the document itself, with the curves unless they are not wanted.
func TestStatusJSON(t *testing.T) {
	t.Parallel()
	at := statusAt(t, aStatus())
	var s report.Status
	text, _ := told(t, 0, "--json", "--http", at)
	if err := json.Unmarshal([]byte(text), &s); err != nil || s.Curve == nil || s.Step != 1234 || len(s.Workers) != 1 || s.Workers[0].Hostname != "node-a" {
		t.Errorf("%v: %s", err, text)
	}
	if text, _ := told(t, 0, "--json", "--points", "0", "--http", at); strings.Contains(text, "curve") {
		t.Error(text)
	}
}

func TestStatusRefusals(t *testing.T) {
	t.Parallel()
	for _, v := range []struct {
		code int
		want string
		args []string
	}{
		{exitUsage, "loopback", []string{"--http", "example.org:80"}},
		{exitUsage, "give one of them", []string{"--http", "127.0.0.1:1", "--config", "x"}},
		{exitUsage, "--points 99999", []string{"--json", "--points", "99999", "--http", "127.0.0.1:1"}},
		{exitUsage, "unexpected argument", []string{"now"}},
		{exitFailure, "is there a coordinator with --http 127.0.0.1:1?", []string{"--http", "127.0.0.1:1"}},
		{exitFailure, "admin.conf", []string{"--config", "/no/such/admin.conf"}},
	} {
		if _, err := told(t, v.code, v.args...); !strings.Contains(err, v.want) {
			t.Errorf("%v: %s, want %q", v.args, err, v.want)
		}
	}
}
