package storage

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// linked lists a directory as a source of data.
func linked(t *testing.T, dir, prefix string) ([]string, error) {
	t.Helper()
	var names []string
	err := AsBlobs(open(t, dir)).WalkLinks(t.Context(), prefix, func(key string, _, _ int64) error {
		names = append(names, key)
		return nil
	})
	return names, err
}

func symlink(t *testing.T, to, name string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(to, name); err != nil {
		t.Fatal(err)
	}
}

// A folder that is a link is a folder, in the order of its own name; links may meet in
// one folder. List shows nothing that is not the Store's own.
func TestLinkedFoldersAreFolders(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	put(t, open(t, other), "b/2", "x")
	put(t, open(t, other), "b/c/3", "x")
	st := open(t, dir)
	put(t, st, "a/1", "x")
	put(t, st, "b-", "x")
	put(t, st, "z", "x")
	symlink(t, filepath.Join(other, "b"), filepath.Join(dir, "b"))
	symlink(t, "../b/c", filepath.Join(dir, "a", "again"))
	symlink(t, filepath.Join(other, "b/2"), filepath.Join(dir, "file"))
	// What programs keep for themselves is not gone into.
	symlink(t, dir, filepath.Join(dir, ".up"))
	symlink(t, "lost", filepath.Join(dir, ".cache", "none"))
	for prefix, want := range map[string][]string{
		"":    {"a/1", "a/again/3", "b-", "b/2", "b/c/3", "file", "z"},
		"b":   {"b-", "b/2", "b/c/3"},
		"b/c": {"b/c/3"},
		"a/a": {"a/again/3"},
	} {
		if got, err := linked(t, dir, prefix); err != nil || !slices.Equal(got, want) {
			t.Errorf("prefix %q: %q, want %q: %v", prefix, got, want, err)
		}
	}
	if got, want := keys(t, st, ""), []string{"a/1", "b-", "file", "z"}; !slices.Equal(got, want) {
		t.Errorf("List shows %q, want %q", got, want)
	}
}

func TestLinksThatLeadNowhereOrBack(t *testing.T) {
	for name, v := range map[string]struct{ link, to, want string }{
		"to the folder itself": {"a/b/self", ".", "a/b/self leads back"},
		"to one above":         {"a/b/up", "../..", "a/b/up leads back"},
		"above the source":     {"a/out", "../../..", "leads back"},
		"nowhere":              {"a/b/lost", "/none/at/all", "a/b/lost is a link to /none/at/all"},
		"through a file":       {"a/b/lost", "../k/x", "a/b/lost is a link to ../k/x"},
		"to its own name":      {"a/b/itself", "itself", "a/b/itself: "},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "within")
			put(t, open(t, dir), "a/k", "x")
			symlink(t, v.to, filepath.Join(dir, v.link))
			if got, err := linked(t, dir, ""); err == nil || !strings.Contains(err.Error(), v.want) {
				t.Errorf("found %q, %v; want %q", got, err, v.want)
			}
			// A file elsewhere has nothing to do with it.
			if got, err := linked(t, dir, "a/k"); err != nil || !slices.Equal(got, []string{"a/k"}) {
				t.Errorf("found %q, %v", got, err)
			}
		})
	}
}
