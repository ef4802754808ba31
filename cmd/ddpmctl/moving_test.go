package main

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/ddpm-cluster/ddpm-cluster/storage"
)

// Where nobody watches there is no bar, and the Store is the one that was given.
func TestNoBarInAPipe(t *testing.T) {
	st, err := storage.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	same, end := movingBar(&stderr, st, "verifying", 10, false)
	end()
	if same != st || stderr.Len() > 0 {
		t.Errorf("%v, and standard error has %q", same, stderr.String())
	}
}

// A moving Store tells what goes through it, and changes nothing.
func TestMovingTellsBytesAndDeletions(t *testing.T) {
	st, err := storage.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	var moved, deleted int64
	m := moving{st, func(n int64) { moved += n }, func(n int64) { deleted += n }}
	if _, err := m.Put(t.Context(), "a/b", strings.NewReader("12345"), 5, "text/plain"); err != nil || moved != 5 {
		t.Errorf("%d bytes put: %v", moved, err)
	}
	body, info, err := m.Get(t.Context(), "a/b")
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(body)
	if err != nil || string(text) != "12345" || info.Size != 5 || moved != 10 {
		t.Errorf("%q of %d bytes, %d have moved: %v", text, info.Size, moved, err)
	}
	if err := body.Close(); err != nil {
		t.Error(err)
	}
	if err := m.Delete(t.Context(), "a/b"); err != nil || deleted != 1 {
		t.Errorf("%d deleted: %v", deleted, err)
	}
}

// A slip of the pen is answered by what was meant, and by where help is.
func TestMistakesNameTheRemedy(t *testing.T) {
	for _, k := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"stauts"}, exitUsage, `unknown command "stauts" (did you mean status?); see ddpmctl --help`},
		{[]string{"checkpoints", "lst"}, exitUsage, `unknown command "lst" (did you mean list?); see ddpmctl checkpoints --help`},
		{[]string{"xyzzyplugh"}, exitUsage, `unknown command "xyzzyplugh"; see ddpmctl --help`},
		{[]string{"status", "--jsn"}, exitUsage, "unknown flag: --jsn; see ddpmctl status --help"},
		{[]string{"status", "--config", "moving_test.go"}, exitFailure, "moving_test.go: it is no administrator's file"},
	} {
		var stdout, stderr bytes.Buffer
		code := run(t.Context(), k.args, &stdout, &stderr)
		if code != k.code || !strings.Contains(stderr.String(), k.want) || strings.Count(stderr.String(), "\n") != 1 {
			t.Errorf("%q: exit code %d, want one line that says %q, got:\n%s", k.args, code, k.want, stderr.String())
		}
	}
}
