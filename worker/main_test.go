package worker

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	ddpmv1 "github.com/ddpm-cluster/ddpm-cluster/proto/ddpm/v1"
)

const aToken = "abc123.abcdefghijklmnopqrstuvwxyz"

func TestMainRefuses(t *testing.T) {
	malformed := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(malformed, []byte("password\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, k := range []struct {
		args []string
		code int
		want string
	}{
		{nil, 2, "--join is missing"},
		{[]string{"--join", "trainer"}, 2, `--join "trainer" is not HOST:PORT`},
		{[]string{"--join", ":7600"}, 2, "is not HOST:PORT"},
		{[]string{"--join", "trainer:0"}, 2, "is not HOST:PORT"},
		{[]string{"--join", "trainer:http"}, 2, "is not HOST:PORT"},
		{[]string{"--join", "h:1", "--threads", "-1"}, 2, "--threads -1"},
		{[]string{"--join", "h:1", "--threads", "5000"}, 2, "--threads 5000"},
		{[]string{"--join", "h:1", "--threads", "two"}, 2, "--threads"},
		{[]string{"--join", "h:1", "--role", "watch"}, 2, `--role "watch": must be train or sample`},
		{[]string{"--join", "h:1", "--wait", "0s"}, 2, "--wait, --grace and --away: must be longer than 0"},
		{[]string{"--join", "h:1", "--advertise", "me:80"}, 2, `--advertise "me:80" is not a host`},
		{[]string{"--join", "h:1", "--advertise", "http://me"}, 2, "is not a host"},
		{[]string{"--join", "h:1"}, 2, "--token is missing"},
		{[]string{"--join", "h:1", "--token", "password"}, 2, "--token: it is not a token"},
		{[]string{"--join", "h:1", "--token-file", "no/such/file"}, 2, "--token-file"},
		{[]string{"--join", "h:1", "--token", aToken}, 2, "--ca-hash is missing"},
		{[]string{"--join", "h:1", "--token", aToken, "--ca-hash", "sha256:ab"}, 2, "--ca-hash"},
		{[]string{"--join", "192.0.2.1:1", "--insecure"}, 2, "192.0.2.1:1 is none"},
		{[]string{"--join", "localhost.example:1", "--insecure"}, 2, "--insecure is for addresses of this machine alone"},
		{[]string{"--join", "127.0.0.1:1", "--advertise", "192.0.2.1", "--insecure"}, 2, "192.0.2.1 is none"},
		{[]string{"--join", "127.0.0.1:1", "--token", aToken, "--insecure"}, 2, "--insecure is without --token"},
		{[]string{"--join", "h:1", "more"}, 2, `unexpected argument "more"`},
		{[]string{"--joined", "h:1"}, 2, "--joined; see ddpm-worker --help"},
		{[]string{"--join", "h:1", "--token-file", malformed}, 2, "--token-file " + malformed + ": it is not a token"},
	} {
		var stdout, stderr bytes.Buffer
		if code := Main(t.Context(), k.args, &stdout, &stderr); code != k.code {
			t.Errorf("%q: exit code %d, want %d", k.args, code, k.code)
		}
		text := stderr.String()
		if !strings.HasPrefix(text, "ddpm-worker: ") || !strings.Contains(text, k.want) || strings.Count(text, "\n") != 1 {
			t.Errorf("%q: want one line that says %q, got:\n%s", k.args, k.want, text)
		}
		if stdout.Len() > 0 {
			t.Errorf("%q: standard output has %q", k.args, stdout.String())
		}
	}
}

func TestMainHelps(t *testing.T) {
	for arg, want := range map[string]string{"--help": "ddpm-worker --join 192.0.2.10:7600", "--version": "ddpm-worker version "} {
		var stdout, stderr bytes.Buffer
		if code := Main(t.Context(), []string{arg}, &stdout, &stderr); code != 0 || !strings.Contains(stdout.String(), want) {
			t.Errorf("%s: exit code %d, want %q in:\n%s%s", arg, code, want, stdout.String(), stderr.String())
		}
	}
}

// A worker's life from the command line on.
func TestMainTrains(t *testing.T) {
	c := newCluster(t, 1)
	f, stop := serveFake(t, c)
	var stdout, stderr bytes.Buffer
	code := Main(t.Context(), []string{"--join", f.address, "--insecure", "--threads", "2", "--advertise", "127.0.0.1", "-v"}, &stdout, &stderr)
	stop()
	if code != 0 || len(f.parts[c.steps]) != 1 {
		t.Errorf("exit code %d, %d parts:\n%s", code, len(f.parts[c.steps]), stderr.String())
	}
	hello := f.peers[0].hello
	if hello.GetThreads() != 2 || !strings.HasPrefix(hello.GetBuild(), "sha256:") || hello.GetVersion() == "" ||
		hello.GetHostname() == "" || hello.GetPid() == 0 || hello.GetCpuLevel() == "" {
		t.Errorf("the Hello lacks something: %v", hello)
	}
}

func TestThreads(t *testing.T) {
	for _, k := range []struct {
		user        int
		coordinator uint32
		want        int
	}{
		{3, 5, 3}, {0, 5, 5}, {0, 0, runtime.GOMAXPROCS(0)}, {0, 1 << 31, maxThreads},
	} {
		if got := threads(k.user, k.coordinator); got != k.want {
			t.Errorf("user %d, coordinator %d: %d threads, want %d", k.user, k.coordinator, got, k.want)
		}
	}
}

// One that is asked to end before it trained has not failed: while it joins, while it
// looks for a coordinator, and while it waits for others.
func TestMainInterrupted(t *testing.T) {
	c := newCluster(t, 1)
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	c.onMessage = func(_ *fake, _ *peer, m *ddpmv1.WorkerMessage) bool {
		if m.GetAvailable() == nil {
			return false
		}
		interrupt()
		return true
	}
	f, stop := serveFake(t, c)
	defer stop()
	for _, args := range [][]string{ // the first of them is interrupted, the others come too late
		{"--join", f.address, "--insecure", "--threads", "1", "--advertise", "127.0.0.1"},
		{"--join", freeAddress(t), "--insecure"},
		{"--join", freeAddress(t), "--token", aToken, "--ca-hash", "sha256:" + strings.Repeat("0", 64)},
	} {
		var stdout, stderr bytes.Buffer
		if code := Main(ctx, args, &stdout, &stderr); code != exitInterrupted || !strings.Contains(stderr.String(), "ddpm-worker: interrupted") {
			t.Errorf("%q: exit code %d:\n%s", args, code, stderr.String())
		}
	}
}
