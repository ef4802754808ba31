package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// An archive does not tell when its files were written, or where they were.
func TestPackIsReproducible(t *testing.T) {
	var archives [][]byte
	for i, mode := range []os.FileMode{0o600, 0o755} {
		dir := t.TempDir()
		from := filepath.Join(dir, "made-here")
		if err := os.WriteFile(from, []byte("the same"), mode); err != nil {
			t.Fatal(err)
		}
		then := time.Now().Add(-time.Duration(i) * time.Hour)
		if err := os.Chtimes(from, then, then); err != nil {
			t.Fatal(err)
		}
		to := filepath.Join(dir, "a.tar.gz")
		if err := pack(to, "top", []file{{"command", from, 0o755}}); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(to)
		if err != nil {
			t.Fatal(err)
		}
		archives = append(archives, text)
	}
	if !bytes.Equal(archives[0], archives[1]) {
		t.Error("two archives of the same content differ")
	}
}

func TestRefusals(t *testing.T) {
	for want, r := range map[string]release{
		"version \"\"":    {out: t.TempDir()},
		"version \"v 1\"": {version: "v 1", out: t.TempDir()},
	} {
		if err := r.build([]string{"linux/amd64"}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v", r, err)
		}
	}
	r := release{version: "v1", out: t.TempDir()}
	for want, targets := range map[string][]string{"no targets": nil, "OS/ARCHITECTURE": {"linux"}} {
		if err := r.build(targets); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v", targets, err)
		}
	}
}
