package storage

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
)

// tree returns all files and folders below dir, folders with a slash.
func tree(t *testing.T, dir string) string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == dir {
			return err
		}
		rel, err := filepath.Rel(dir, name)
		if d.IsDir() {
			rel += "/"
		}
		names = append(names, rel)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(names, " ")
}

func TestLocalLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	st := open(t, dir)
	broken := iotest.ErrReader(errors.New("broken"))
	if _, err := st.Put(t.Context(), "a/b/k", broken, 3, "text/plain"); err == nil {
		t.Fatal("no error")
	}
	if _, err := st.PutIfAbsent(t.Context(), "a/b/k", broken, 3, "text/plain"); err == nil {
		t.Fatal("no error")
	}
	if got := tree(t, dir); got != "" {
		t.Errorf("failed writes left %s", got)
	}
	put(t, st, "a/b/k", "x")
	put(t, st, "a/other", "x")
	if _, err := st.PutIfAbsent(t.Context(), "a/b/k", strings.NewReader("y"), 1, "text/plain"); !errors.Is(err, ErrExists) {
		t.Fatal(err)
	}
	if got := tree(t, dir); got != "a/ a/b/ a/b/k a/other" {
		t.Errorf("there is %s", got)
	}
	if err := st.Delete(t.Context(), "a/b/k"); err != nil {
		t.Fatal(err)
	}
	if got := tree(t, dir); got != "a/ a/other" {
		t.Errorf("after Delete there is %s", got)
	}
	if err := st.Delete(t.Context(), "a"); err != nil { // a folder, not an object
		t.Fatal(err)
	}
	if got := tree(t, dir); got != "a/ a/other" {
		t.Errorf("after Delete of a folder there is %s", got)
	}
}

// A reader sees the object as it was or as it is, whoever replaces it meanwhile.
func TestLocalReadDuringReplace(t *testing.T) {
	st := open(t, t.TempDir())
	put(t, st, "k", strings.Repeat("a", 100_000))
	var wg sync.WaitGroup
	for i := range 3 {
		wg.Go(func() {
			for range 20 {
				content := strings.NewReader(strings.Repeat(string(rune('b'+i)), 100_000))
				if _, err := st.Put(t.Context(), "k", content, 100_000, "text/plain"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 100 {
		got := get(t, st, "k")
		if len(got) != 100_000 || strings.Trim(got, got[:1]) != "" {
			t.Errorf("got %d bytes that begin with %.10s", len(got), got)
			break
		}
	}
	wg.Wait()
}

// Deleting removes empty folders, which must not trip a writer that just made one.
func TestLocalDeleteDuringPut(t *testing.T) {
	dir := t.TempDir()
	st := open(t, dir)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			key := fmt.Sprintf("some/deep/folder/%d", i)
			for range 50 {
				if _, err := st.Put(t.Context(), key, strings.NewReader("x"), 1, "text/plain"); err != nil {
					t.Error(err)
				}
				if err := st.Delete(t.Context(), key); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if got := tree(t, dir); got != "" {
		t.Errorf("left %s", got)
	}
}

// Folders may be links to other disks.
func TestLocalListFollowsRootLink(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(dir, "link")
	if err := os.Mkdir(filepath.Join(dir, "real"), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("real", link); err != nil {
		t.Fatal(err)
	}
	st := open(t, link)
	put(t, st, "a/k", "x")
	if got := keys(t, st, ""); len(got) != 1 || got[0] != "a/k" {
		t.Errorf("got %q", got)
	}
}

func TestOpenOfAFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	_, err := Open(t.Context(), name)
	want := "storage " + name + ": it is a file, not a directory; choose another --storage or --data-dir"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestOpenMakesNothing(t *testing.T) {
	dir := t.TempDir()
	st := open(t, filepath.Join(dir, "new"))
	if got := keys(t, st, ""); len(got) != 0 {
		t.Errorf("got %q", got)
	}
	if got := tree(t, dir); got != "" {
		t.Errorf("left %s", got)
	}
}
