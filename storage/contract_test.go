package storage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
)

func TestContract(t *testing.T) {
	tests := map[string]func(t *testing.T, st Store){
		"round trip":         testRoundTrip,
		"replace":            testReplace,
		"ranges":             testRanges,
		"absent":             testAbsent,
		"list":               testList,
		"create only":        testCreateOnly,
		"create only, races": testCreateOnlyRace,
		"failed writes":      testFailedWrites,
		"bad keys":           testBadKeys,
		"cancelled":          testCancelled,
		"probe":              testProbe,
	}
	for name, newStore := range stores(t) {
		t.Run(name, func(t *testing.T) {
			for test, run := range tests {
				t.Run(test, func(t *testing.T) { run(t, newStore(t)) })
			}
		})
	}
}

func testRoundTrip(t *testing.T, st Store) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16), byte(seed >> 24)})
	// The last ones go up to S3 in several requests.
	for _, size := range []int{0, 1, 2, 1000, 70_001, wholePut, wholePut + 1, wholePut + 3<<20} {
		data := make([]byte, size)
		if _, err := random.Read(data); err != nil {
			t.Fatal(err)
		}
		key := fmt.Sprintf("a folder/%d bytes, ümlaut + %%41", size)
		// A reader without Seek, that gives what it likes.
		if _, err := st.Put(t.Context(), key, iotest.HalfReader(bytes.NewReader(data)), int64(size), "application/octet-stream"); err != nil {
			t.Fatal(err)
		}
		if got := get(t, st, key); got != string(data) {
			t.Fatalf("%d bytes came back as %d other ones", size, len(got))
		}
	}
}

func testReplace(t *testing.T, st Store) {
	put(t, st, "k", "a long first content")
	put(t, st, "k", "second")
	if got := get(t, st, "k"); got != "second" {
		t.Fatalf("got %q", got)
	}
	// More bytes than announced are not read.
	if _, err := st.Put(t.Context(), "k", strings.NewReader("third and more"), 5, "text/plain"); err != nil {
		t.Fatal(err)
	}
	if got := get(t, st, "k"); got != "third" {
		t.Fatalf("got %q", got)
	}
}

func testRanges(t *testing.T, st Store) {
	const content = "0123456789"
	put(t, st, "k", content)
	for offset := int64(0); offset < 12; offset++ {
		for length := int64(-1); length < 13; length++ {
			var got []byte
			r, err := st.GetRange(t.Context(), "k", offset, length)
			if err == nil {
				got, err = io.ReadAll(r)
				err = errors.Join(err, r.Close())
			}
			valid := length >= 1 && offset+length <= 10
			if valid && (err != nil || string(got) != content[offset:offset+length]) {
				t.Errorf("%d bytes from %d: got %q, %v", length, offset, got, err)
			}
			if !valid && err == nil {
				t.Errorf("%d bytes from %d: got %q without an error", length, offset, got)
			}
		}
	}
	if _, err := st.GetRange(t.Context(), "k", -1, 1); err == nil {
		t.Error("a negative offset is no error")
	}
}

func testAbsent(t *testing.T, st Store) {
	put(t, st, "folder/k", "x")
	for _, key := range []string{"k", "folder", "folder/k/below", "folder/k2"} {
		if _, _, err := st.Get(t.Context(), key); !errors.Is(err, ErrNotFound) {
			t.Errorf("Get of %s: %v", key, err)
		}
		if _, err := st.GetRange(t.Context(), key, 0, 1); !errors.Is(err, ErrNotFound) {
			t.Errorf("GetRange of %s: %v", key, err)
		}
		if err := st.Delete(t.Context(), key); err != nil {
			t.Errorf("Delete of %s: %v", key, err)
		}
	}
	if got := get(t, st, "folder/k"); got != "x" {
		t.Errorf("got %q", got)
	}
	if err := st.Delete(t.Context(), "folder/k"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := st.Get(t.Context(), "folder/k"); !errors.Is(err, ErrNotFound) {
		t.Errorf("after Delete: %v", err)
	}
	_, _, err := st.Get(t.Context(), "folder/k")
	for _, want := range []string{st.String(), "get", "folder/k"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not name %q", err, want)
		}
	}
}

func testList(t *testing.T, st Store) {
	if got := keys(t, st, "none/"); len(got) != 0 {
		t.Errorf("an empty Store lists %v", got)
	}
	// Byte order: "-" and "." sort before "/", so folders are no order of their own.
	all := []string{"a-b", "a-b.c/d", "a.b", "a/b", "a/b.c/d", "ab/c", "b", "é/x"}
	for _, i := range rand.Perm(len(all)) {
		put(t, st, all[i], strings.Repeat("x", i))
	}
	put(t, st, tempPrefix+"x", "hidden")
	put(t, st, "a/"+tempPrefix+"x", "hidden")
	for _, prefix := range []string{"", "a", "a/", "a/b", "a/b.", "a/b.c/", "a/b.c/d", "b", "b/", "é", "zz", "a-b/c/d"} {
		want := []string{}
		for _, k := range all {
			if strings.HasPrefix(k, prefix) {
				want = append(want, k)
			}
		}
		if got := keys(t, st, prefix); !slices.Equal(got, want) {
			t.Errorf("prefix %q: got %q, want %q", prefix, got, want)
		}
	}
	infos, err := st.List(t.Context(), "a/b.c")
	if err != nil || len(infos) != 1 || infos[0].Size != 4 || infos[0].ModTime.IsZero() {
		t.Errorf("got %+v, %v", infos, err)
	}
}

func testCreateOnly(t *testing.T, st Store) {
	create := func(content string) error {
		_, err := st.PutIfAbsent(t.Context(), "new/k", strings.NewReader(content), int64(len(content)), "text/plain")
		return err
	}
	if err := create("first"); err != nil {
		t.Fatal(err)
	}
	if err := create("second"); !errors.Is(err, ErrExists) {
		t.Fatalf("the second got %v", err)
	}
	if got := get(t, st, "new/k"); got != "first" {
		t.Fatalf("got %q", got)
	}
	put(t, st, "new/k", "replaced")
	if err := st.Delete(t.Context(), "new/k"); err != nil {
		t.Fatal(err)
	}
	if err := create("again"); err != nil {
		t.Fatal(err)
	}
	if got := keys(t, st, ""); !slices.Equal(got, []string{"new/k"}) {
		t.Fatalf("left %q", got)
	}
}

func testCreateOnlyRace(t *testing.T, st Store) {
	const writers = 8
	var (
		wg   sync.WaitGroup
		errs [writers]error
	)
	for i := range writers {
		wg.Go(func() {
			content := strings.Repeat(string(rune('a'+i)), 1000)
			_, errs[i] = st.PutIfAbsent(t.Context(), "race", strings.NewReader(content), 1000, "text/plain")
		})
	}
	wg.Wait()
	winner := -1
	for i, err := range errs {
		switch {
		case err == nil && winner >= 0:
			t.Fatalf("writers %d and %d both won", winner, i)
		case err == nil:
			winner = i
		case !errors.Is(err, ErrExists):
			t.Errorf("writer %d: %v", i, err)
		}
	}
	if winner < 0 {
		t.Fatal("nobody won")
	}
	if got := get(t, st, "race"); got != strings.Repeat(string(rune('a'+winner)), 1000) {
		t.Errorf("writer %d won, but the content is %q", winner, got)
	}
}

func testFailedWrites(t *testing.T, st Store) {
	put(t, st, "k", "old")
	broken := errors.New("broken")
	for _, key := range []string{"k", "folder/new"} {
		for _, size := range []int64{10, wholePut + 10} {
			_, err := st.Put(t.Context(), key, strings.NewReader("short"), size, "text/plain")
			if !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("5 of %d bytes: %v", size, err)
			}
			bad := io.MultiReader(strings.NewReader("short"), iotest.ErrReader(broken))
			if _, err := st.Put(t.Context(), key, bad, size, "text/plain"); !errors.Is(err, broken) {
				t.Errorf("a broken reader: %v", err)
			}
		}
	}
	if _, err := st.PutIfAbsent(t.Context(), "folder/new", strings.NewReader("short"), 10, "text/plain"); err == nil {
		t.Error("5 of 10 bytes: no error")
	}
	if got := get(t, st, "k"); got != "old" {
		t.Errorf("got %q", got)
	}
	if got := keys(t, st, ""); !slices.Equal(got, []string{"k"}) {
		t.Errorf("left %q", got)
	}
}

func testBadKeys(t *testing.T, st Store) {
	for _, key := range []string{
		"", "/", "/abs", "a//b", "a/", ".", "..", "../x", "a/../b", "a/..", "./a", `a\b`, "a\x00b", "\xff", strings.Repeat("k", 1025),
	} {
		_, _, err := st.Get(t.Context(), key)
		_, rerr := st.GetRange(t.Context(), key, 0, 1)
		_, perr := st.Put(t.Context(), key, strings.NewReader("x"), 1, "text/plain")
		_, aerr := st.PutIfAbsent(t.Context(), key, strings.NewReader("x"), 1, "text/plain")
		derr := st.Delete(t.Context(), key)
		for _, err := range []error{err, rerr, perr, aerr, derr} {
			if err == nil || errors.Is(err, ErrNotFound) {
				t.Errorf("key %q: %v", key, err)
			}
		}
	}
	for _, prefix := range []string{"/", "..", "../", "a/../b", "a//"} {
		if prefix == ".." {
			continue // the beginning of a good key such as "..a"
		}
		if _, err := st.List(t.Context(), prefix); err == nil {
			t.Errorf("prefix %q is no error", prefix)
		}
	}
}

func testCancelled(t *testing.T, st Store) {
	put(t, st, "k", "x")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, gerr := st.Get(ctx, "k")
	_, perr := st.Put(ctx, "k", strings.NewReader("y"), 1, "text/plain")
	_, lerr := st.List(ctx, "")
	derr := st.Delete(ctx, "k")
	for _, err := range []error{gerr, perr, lerr, derr} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	}
	if got := get(t, st, "k"); got != "x" {
		t.Errorf("got %q", got)
	}
}

func testProbe(t *testing.T, st Store) {
	put(t, st, "k", "x")
	if err := Probe(t.Context(), st, quiet()); err != nil {
		t.Fatal(err)
	}
	if got := keys(t, st, ""); !slices.Equal(got, []string{"k"}) {
		t.Errorf("left %q", got)
	}
	if l, ok := st.(*local); ok {
		entries, err := os.ReadDir(l.root)
		if err != nil || len(entries) != 1 {
			t.Errorf("left %v, %v", entries, err)
		}
	}
}
