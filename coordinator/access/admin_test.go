package access

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ddpm-cluster/ddpm-cluster/internal/pki"
)

func TestAdmin(t *testing.T) {
	t.Parallel()
	ca := newCA(t)
	issue := func(role pki.Role) *pki.Credential {
		c, err := ca.Issue(pki.Leaf{Role: role, Name: "a", Life: time.Hour}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	path := filepath.Join(t.TempDir(), "admin.conf")
	if _, err := ReadAdmin(path); err == nil || !strings.Contains(err.Error(), "data dir") {
		t.Errorf("without the file: %v", err)
	}
	want := issue(pki.Admin)
	if err := WriteAdmin(path, "h:1", want); err != nil {
		t.Fatal(err)
	}
	got, err := ReadAdmin(path)
	if err != nil || got.Server != "h:1" || got.Credential.Current().Identity() != want.Identity() {
		t.Errorf("%+v, %v", got, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if err := WriteAdmin(path, "h:1", issue(pki.Worker)); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadAdmin(path); err == nil || !strings.Contains(err.Error(), "not of an administrator") {
		t.Errorf("a worker's certificate: %v", err)
	}
	if err := os.WriteFile(path, make([]byte, maxAdmin+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadAdmin(path); err == nil || !strings.Contains(err.Error(), "no admin.conf") {
		t.Errorf("something large: %v", err)
	}
}

// Whatever an admin.conf holds, reading it gives an administrator or an error.
func FuzzAdmin(f *testing.F) {
	c, err := newCA(f).Issue(pki.Leaf{Role: pki.Admin, Name: "a", Life: time.Hour}, time.Now())
	if err != nil {
		f.Fatal(err)
	}
	path := filepath.Join(f.TempDir(), "admin.conf")
	if err := WriteAdmin(path, "h:1", c); err != nil {
		f.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte("server: h:1\n"))
	f.Add([]byte("server: &x [*x]\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if a, err := parseAdmin(text); err == nil && a.Credential.Current().Identity().Role != pki.Admin {
			t.Errorf("%s is an administrator", a.Credential.Current().Identity())
		}
	})
}
