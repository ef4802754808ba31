package access

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// Whoever reads the default token's file is let in at any time of a run, and what can't
// be done at one time is done later.
func TestDefaultTokenIsKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		said := new(log)
		d, tokens := newDoor(t, newCA(t), said)
		path := filepath.Join(t.TempDir(), "token")
		ctx, cancel := context.WithCancel(t.Context())
		first, err := d.DefaultToken(ctx, path)
		if err != nil {
			t.Fatal(err)
		}
		go d.KeepDefaultToken(ctx, path, first)
		seen := map[string]bool{}
		for at := time.Duration(0); at < 3*TokenLife; at += 10 * time.Minute {
			tokens.mu.Lock()
			tokens.lost = nil
			if at > TokenLife-leastLeft && at < TokenLife-leastLeft/2 { // when the first is to be replaced
				tokens.lost = errors.New("etcd is away")
			}
			away := tokens.lost != nil
			tokens.mu.Unlock()
			time.Sleep(10 * time.Minute)
			synctest.Wait()
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if id, err := d.admit(ctx, strings.TrimSpace(string(text))); err != nil && !away {
				t.Fatalf("after %v: %v", at, err)
			} else if err == nil {
				seen[id] = true
			}
		}
		if len(seen) != 4 {
			t.Errorf("%d tokens in three times the life of one", len(seen))
		}
		for _, want := range []string{"etcd is away", "another token"} {
			if !strings.Contains(said.String(), want) {
				t.Errorf("the log has no %q:\n%s", want, said)
			}
		}
		if _, secret, _ := strings.Cut(first, "."); strings.Contains(said.String(), secret) {
			t.Errorf("the log has a token's secret:\n%s", said)
		}
		cancel()
		synctest.Wait()
	})
}
