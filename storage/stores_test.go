package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ddpm-cluster/ddpm-cluster/internal/s3test"
)

// stores are the implementations that the contract is tested on. S3 is an imitation
// in this process, the real servers of package s3test, and another one where
// DDPM_TEST_S3 names it. A server is started once for all of a test's Stores, each of
// which has a prefix of its own.
func stores(t *testing.T) map[string]func(t *testing.T) Store {
	return map[string]func(t *testing.T) Store{
		"local": func(t *testing.T) Store { return open(t, t.TempDir()) },
		"imitated S3": func(t *testing.T) Store {
			fake := startFakeS3(t)
			return open(t, "s3://bucket/some/prefix?insecure=true&region=us-east-1&endpoint="+fake.address)
		},
		"MinIO":               onServer(t, s3test.StartMinIO),
		"MinIO, keys claimed": claiming(onServer(t, s3test.StartMinIO)),
		"versitygw":           onServer(t, s3test.StartVersityGW),
		"named S3": func(t *testing.T) Store {
			uri := os.Getenv("DDPM_TEST_S3")
			if uri == "" {
				t.Skip("DDPM_TEST_S3 is not set to an s3:// URI")
			}
			loc, err := parse(uri)
			if err != nil {
				t.Fatal(err)
			}
			loc.prefix = strings.TrimPrefix(fmt.Sprintf("%s/ddpm-test-%d", loc.prefix, time.Now().UnixNano()), "/")
			st := open(t, loc.String())
			t.Cleanup(func() { deleteAll(t, st) })
			return st
		},
	}
}

// claiming makes Stores as on a server that does not honour If-None-Match.
func claiming(newStore func(*testing.T) Store) func(*testing.T) Store {
	return func(t *testing.T) Store {
		st := newStore(t)
		st.(*s3).claims.Store(true)
		return st
	}
}

// onServer makes Stores on one server, which is started with the first of them and
// stopped at the end of the test.
func onServer(t *testing.T, start func(testing.TB, ...string) *s3test.Server) func(t *testing.T) Store {
	var server *s3test.Server
	n := 0
	return func(sub *testing.T) Store {
		if server == nil {
			server = start(skipper{t, sub})
		}
		server.SetEnv(sub)
		n++
		return open(sub, s3test.URI(server.Address, fmt.Sprintf("some/prefix %d", n)))
	}
}

// skipper is a test that lets another one skip in its place.
type skipper struct {
	*testing.T
	sub *testing.T
}

func (s skipper) Skipf(format string, args ...any) { s.sub.Skipf(format, args...) }

func open(t *testing.T, uri string) Store {
	t.Helper()
	st, err := Open(t.Context(), uri)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func deleteAll(t *testing.T, st Store) {
	infos, err := st.List(context.Background(), "")
	if err != nil {
		t.Error(err)
	}
	for _, info := range infos {
		if err := st.Delete(context.Background(), info.Key); err != nil {
			t.Error(err)
		}
	}
}

func put(t *testing.T, st Store, key, content string) {
	t.Helper()
	info, err := st.Put(t.Context(), key, strings.NewReader(content), int64(len(content)), "text/plain")
	if err != nil {
		t.Fatal(err)
	}
	if info.Key != key || info.Size != int64(len(content)) {
		t.Fatalf("Put of %s with %d bytes says %+v", key, len(content), info)
	}
}

func get(t *testing.T, st Store, key string) string {
	t.Helper()
	r, info, err := st.Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		t.Fatal(err)
	}
	if info.Key != key || info.Size != int64(len(data)) || info.ModTime.IsZero() {
		t.Fatalf("Get of %s with %d bytes says %+v", key, len(data), info)
	}
	return string(data)
}

func keys(t *testing.T, st Store, prefix string) []string {
	t.Helper()
	infos, err := st.List(t.Context(), prefix)
	if err != nil {
		t.Fatal(err)
	}
	list := []string{}
	for _, info := range infos {
		list = append(list, info.Key)
	}
	return list
}

// quiet is a log for what is not looked at.
func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }
