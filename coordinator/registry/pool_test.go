package registry

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"
)

func TestPoolKeys(t *testing.T) {
	t.Parallel()
	e := embedded(t, t.TempDir())
	p, err := FollowPool(t.Context(), e, "me")
	if err != nil {
		t.Fatal(err)
	}
	const n = listPage + 2 // more than a page
	for i := range n {
		if err := p.Put(t.Context(), fmt.Sprintf("tasks/a/%06d", i), i); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Put(t.Context(), "tasks/b/000000", 0); err != nil {
		t.Fatal(err)
	}
	read := func() (keys []string) {
		t.Helper()
		if err := p.Each(t.Context(), "tasks/", func(key string, _ []byte) error {
			keys = append(keys, key)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		return keys
	}
	if keys := read(); len(keys) != n+1 || !slices.IsSorted(keys) || keys[0] != "tasks/a/000000" || keys[n] != "tasks/b/000000" {
		t.Errorf("%d keys, %q …", len(keys), keys[:3])
	}
	if err := p.Delete(t.Context(), "tasks/a/"); err != nil {
		t.Fatal(err)
	}
	if keys := read(); !slices.Equal(keys, []string{"tasks/b/000000"}) {
		t.Errorf("after Delete: %q", keys)
	}
	if err := p.Each(t.Context(), "tasks/", func(string, []byte) error { return errors.New("stop") }); err == nil {
		t.Error("an error of the caller's is lost")
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if err := p.Put(t.Context(), "tasks/b/000000", 1); !errors.Is(err, ErrDeposed) {
		t.Errorf("written after the leadership was given up: %v", err)
	}
}

// At an etcd that several share, the pool has one leader, and the next one waits.
func TestPoolHasOneLeader(t *testing.T) {
	t.Parallel()
	endpoint := external(t)
	first, err := FollowPool(t.Context(), dialled(t, endpoint), "first")
	if err != nil {
		t.Fatal(err)
	}
	second := dialled(t, endpoint)
	short, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := FollowPool(short, second, "second"); err == nil {
		t.Fatal("two coordinators lead the pool")
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	p, err := FollowPool(t.Context(), second, "second")
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}
