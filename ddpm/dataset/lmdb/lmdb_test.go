package lmdb

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
)

func fixture(t testing.TB) []byte {
	t.Helper()
	content, err := os.ReadFile("testdata/lsun/data.mdb")
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func openBytes(b []byte) (*DB, error) { return Open(bytes.NewReader(b), int64(len(b))) }

// The database that the real library wrote, key by key.
func TestReadsWhatTheLibraryWrote(t *testing.T) {
	db, err := openBytes(fixture(t))
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	err = db.Each(func(key []byte, v Value) error {
		value, err := db.Read(v)
		fmt.Fprintf(&got, "%s %d %x\n", key, len(value), sha256.Sum256(value))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("testdata/keys.txt")
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) || db.Entries() != 60 {
		t.Errorf("%d entries:\n%swant\n%s", db.Entries(), got.String(), want)
	}
	stop := errors.New("stop")
	if err := db.Each(func([]byte, Value) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("visit's error became %v", err)
	}
}

func TestDamageIsAnError(t *testing.T) {
	whole := fixture(t)
	db, err := openBytes(whole)
	if err != nil {
		t.Fatal(err)
	}
	for name, damage := range map[string]func(b []byte) []byte{
		"empty":     func([]byte) []byte { return nil },
		"magic":     func(b []byte) []byte { b[16]++; return b },
		"version":   func(b []byte) []byte { b[20] = 2; return b },
		"page size": func(b []byte) []byte { b[16+24] = 1; return b },
		"cut off":   func(b []byte) []byte { return b[:3*4096] },
		"loop": func(b []byte) []byte {
			root := int(db.root) * 4096
			at := root + int(b[root+16]) + int(b[root+17])<<8
			copy(b[at:], []byte{byte(db.root), byte(db.root >> 8), 0, 0, 0, 0})
			return b
		},
	} {
		broken, err := openBytes(damage(bytes.Clone(whole)))
		if err == nil {
			err = broken.Each(func([]byte, Value) error { return nil })
		}
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
