package storage

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestProbeLeavesNoDirectory(t *testing.T) {
	dir := t.TempDir()
	if err := Probe(t.Context(), open(t, filepath.Join(dir, "new", "er")), quiet()); err != nil {
		t.Fatal(err)
	}
	if got := tree(t, dir); got != "" {
		t.Errorf("a good probe left %s", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Probe(ctx, open(t, filepath.Join(dir, "new", "er")), quiet()); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if got := tree(t, dir); got != "" {
		t.Errorf("a failed probe left %s", got)
	}
}

func TestProbeLocalErrors(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	below := filepath.Join(dir, "file", "below")
	sealed := filepath.Join(dir, "sealed")
	if err := os.Mkdir(sealed, 0o555); err != nil {
		t.Fatal(err)
	}
	tests := []struct{ root, want string }{
		{below, "storage " + below + ": can't write: not a directory; choose another --storage or --data-dir"},
		{sealed, "storage " + sealed + ": can't write: permission denied; choose another --storage or --data-dir"},
		{sealed + "/new", "storage " + sealed + "/new: can't write: permission denied; choose another --storage or --data-dir"},
	}
	for _, test := range tests {
		if os.Geteuid() == 0 && strings.Contains(test.want, "permission") {
			continue // root may write anywhere
		}
		err := Probe(t.Context(), open(t, test.root), quiet())
		if err == nil || err.Error() != test.want {
			t.Errorf("got  %v\nwant %s", err, test.want)
		}
	}
	if got := tree(t, dir); got != "file sealed/" {
		t.Errorf("left %s", got)
	}
}

func TestProbeSweeps(t *testing.T) {
	dir := t.TempDir()
	st := open(t, dir)
	put(t, st, "a/k", "x")
	for name, age := range map[string]time.Duration{"a/" + tempPrefix + "old": 2 * staleAfter, tempPrefix + "new": 0, "a/old": 2 * staleAfter} {
		name = filepath.Join(dir, name)
		when := time.Now().Add(-age)
		if err := errors.Join(os.WriteFile(name, nil, 0o666), os.Chtimes(name, when, when)); err != nil {
			t.Fatal(err)
		}
	}
	if err := Probe(t.Context(), st, quiet()); err != nil {
		t.Fatal(err)
	}
	if got, want := tree(t, dir), tempPrefix+"new a/ a/k a/old"; got != want {
		t.Errorf("left %s, want %s", got, want)
	}
}

// A Delete that was killed between a file and its folders leaves empty ones: they go, but for
// those that a writer may have made just now, and those that are none of the Store's.
func TestProbeSweepsEmptyFolders(t *testing.T) {
	dir := t.TempDir()
	st := open(t, dir)
	put(t, st, "runs/r/checkpoints/step-2/k", "x")
	old := time.Now().Add(-2 * staleAfter)
	for _, folder := range []string{"runs/r/checkpoints/step-1/state", "runs/r/new", "mine"} {
		if err := os.MkdirAll(filepath.Join(dir, folder), 0o777); err != nil {
			t.Fatal(err)
		}
	}
	for _, folder := range []string{"runs/r/checkpoints/step-1/state", "runs/r/checkpoints/step-1", "runs/r/checkpoints/step-2", "runs/r/checkpoints", "runs/r", "runs", "mine"} {
		if err := os.Chtimes(filepath.Join(dir, folder), old, old); err != nil {
			t.Fatal(err)
		}
	}
	if err := Probe(t.Context(), st, quiet()); err != nil {
		t.Fatal(err)
	}
	if got, want := tree(t, dir), "mine/ runs/ runs/r/ runs/r/checkpoints/ runs/r/checkpoints/step-2/ runs/r/checkpoints/step-2/k runs/r/new/"; got != want {
		t.Errorf("left %s, want %s", got, want)
	}
}

// A folder with too much in it to be swept in time can be used, and the sweep stops.
func TestProbeOutlastsTheSweep(t *testing.T) {
	dir := t.TempDir()
	left := filepath.Join(dir, tempPrefix+"old")
	old := time.Now().Add(-2 * staleAfter)
	if err := errors.Join(os.WriteFile(left, nil, 0o666), os.Chtimes(left, old, old)); err != nil {
		t.Fatal(err)
	}
	if err := probeWithin(t.Context(), open(t, dir), quiet(), probeLimit, 0); err != nil {
		t.Error(err)
	}
	if got := tree(t, dir); got != tempPrefix+"old" {
		t.Errorf("left %s", got)
	}
}

// faulty is a Store that breaks one promise.
type faulty struct {
	Store
	replaces bool
	content  string
}

func (f faulty) PutIfAbsent(ctx context.Context, key string, r io.Reader, size int64, contentType string) (Info, error) {
	if f.replaces {
		return f.Put(ctx, key, r, size, contentType)
	}
	return f.Store.PutIfAbsent(ctx, key, r, size, contentType)
}

func (f faulty) Get(ctx context.Context, key string) (io.ReadCloser, Info, error) {
	if f.content != "" {
		return io.NopCloser(strings.NewReader(f.content)), Info{}, nil
	}
	return f.Store.Get(ctx, key)
}

func TestProbeFindsBrokenPromises(t *testing.T) {
	for want, st := range map[string]faulty{
		"it let a second writer replace": {replaces: true},
		"it did not give back":           {content: "something else"},
	} {
		dir := t.TempDir()
		st.Store = open(t, dir)
		if err := Probe(t.Context(), st, quiet()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
		if got := tree(t, dir); got != "" {
			t.Errorf("left %s", got)
		}
	}
}

func TestProbeS3Errors(t *testing.T) {
	fake := startFakeS3(t)
	options := "?endpoint=" + fake.address + "&insecure=true&region=us-east-1"
	refuse := func(status int, code string) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, _ *http.Request) bool {
			s3Error(w, status, code)
			return true
		}
	}
	tests := map[string]struct {
		uri    string
		answer func(http.ResponseWriter, *http.Request) bool
		want   []string
	}{
		"no bucket": {uri: "s3://other" + options, want: []string{"can't write", "create the bucket other (ddpmctl bucket create --storage 's3://other?endpoint="}},
		"denied": {uri: "s3://bucket" + options, answer: refuse(http.StatusForbidden, "AccessDenied"),
			want: []string{"can't write", "let these credentials"}},
		"only writes": {uri: "s3://bucket" + options, want: []string{"can't list", "let these credentials"},
			answer: func(w http.ResponseWriter, r *http.Request) bool {
				return r.URL.Query().Has("list-type") && refuse(http.StatusForbidden, "AccessDenied")(w, r)
			}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			fake.answer = test.answer
			err := Probe(t.Context(), open(t, test.uri), quiet())
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range append(test.want, "storage s3://") {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q lacks %q", err, want)
				}
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("%q has several lines", err)
			}
			if len(fake.objects) != 0 {
				t.Errorf("left %d objects", len(fake.objects))
			}
		})
	}
}

func TestProbeNoServer(t *testing.T) {
	address := closedAddress(t)
	t.Setenv("AWS_ACCESS_KEY_ID", "test")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "not-a-secret")
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond) // or minio-go tries for long
	defer cancel()
	err := Probe(ctx, open(t, "s3://bucket?insecure=true&region=us-east-1&endpoint="+address), quiet())
	// On a busy machine time can be up before the first refusal, which says less.
	if err == nil || !strings.Contains(err.Error(), "reachable") && !strings.Contains(err.Error(), "nothing listens") {
		t.Errorf("got %v", err)
	}
}

// closedAddress is one that nobody listens at: bound until the test ends, so that no
// other process is given its port.
func closedAddress(t *testing.T) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	in4, ok := name.(*syscall.SockaddrInet4)
	if !ok {
		t.Fatalf("bound to %T", name)
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(in4.Port))
}

// On a server that replaces what only one may create, keys are claimed, and the log
// says so.
func TestProbeFindsAnotherWay(t *testing.T) {
	fake := startFakeS3(t)
	fake.answer = func(_ http.ResponseWriter, r *http.Request) bool {
		r.Header.Del("If-None-Match")
		return false
	}
	st := open(t, "s3://bucket/p?insecure=true&region=us-east-1&endpoint="+fake.address)
	var said strings.Builder
	if err := Probe(t.Context(), st, slog.New(slog.NewTextHandler(&said, nil))); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(said.String(), "second writer") {
		t.Errorf("the log says %q", said.String())
	}
	testCreateOnly(t, st)
	testCreateOnlyRace(t, st)
	for name := range fake.objects {
		if strings.Contains(name, tempPrefix) {
			t.Errorf("left %s", name)
		}
	}
}
