package registry

import (
	"bytes"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.uber.org/zap"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// A coordinator that was killed in its first start, before etcd had stored anything, starts.
func TestAnEtcdThatHadNotBegun(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "etcd")
	if err := os.MkdirAll(filepath.Join(dir, "member", "snap"), 0o700); err != nil {
		t.Fatal(err)
	}
	w, err := wal.Create(zap.NewNop(), filepath.Join(dir, "member", "wal"), nil)
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	e := embedded(t, dir)
	if err := leading(t, e, "r").PutGeneration(t.Context(), 1, membership{Number: 1}); err != nil {
		t.Error(err)
	}
}

// What an etcd has stored stays.
func TestAnEtcdThatHadBegun(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "etcd")
	e, err := Embed(t.Context(), dir, quiet())
	if err == nil {
		err = e.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	before := files(t, dir)
	if err := discardUnbegun(dir); err != nil || files(t, dir) != before {
		t.Errorf("%v: %s, before %s", err, files(t, dir), before)
	}
}

func files(t *testing.T, dir string) string {
	t.Helper()
	var all []string
	if err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		all = append(all, path)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return strings.Join(all, " ")
}

// Where etcd ends the process, the reason is in the coordinator's log.
func TestReason(t *testing.T) {
	t.Parallel()
	if got := reason("failed to commit", []zap.Field{zap.String("path", "db"), zap.Error(errors.New("no space left on device"))}); got != "failed to commit: no space left on device" {
		t.Error(got)
	}
	var out bytes.Buffer
	log, err := etcdLog(filepath.Join(t.TempDir(), "etcd.log"), slog.New(slog.NewTextHandler(&out, nil)))
	if err != nil {
		t.Fatal(err)
	}
	log.Error("not the end")
	if out.Len() > 0 {
		t.Error(out.String())
	}
}
