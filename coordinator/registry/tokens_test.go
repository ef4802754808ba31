package registry

import (
	"errors"
	"reflect"
	"testing"
	"time"
)

func TestTokens(t *testing.T) {
	t.Parallel()
	e := embedded(t, t.TempDir())
	tokens, others := e.Tokens("ours"), e.Tokens("theirs")
	now := time.Now().UTC().Truncate(time.Second)
	a := Token{ID: "aaaaaa", Hash: "1", Description: "a", Created: now, Expires: now.Add(time.Hour)}
	b := Token{ID: "bbbbbb", Hash: "2", Created: now, Expires: now.Add(-time.Hour)}
	for _, k := range []Token{b, a} {
		if err := tokens.Create(t.Context(), k); err != nil {
			t.Fatal(err)
		}
	}
	if err := tokens.Create(t.Context(), a); err == nil {
		t.Error("an id is taken twice")
	}
	if got, err := tokens.Find(t.Context(), a.ID); err != nil || !reflect.DeepEqual(got, a) {
		t.Errorf("%+v, %v, want %+v", got, err, a)
	}
	if err := tokens.Revoke(t.Context(), b.ID); err != nil {
		t.Fatal(err)
	}
	b.Revoked = true
	if got, err := tokens.List(t.Context()); err != nil || !reflect.DeepEqual(got, []Token{a, b}) {
		t.Errorf("%+v, %v", got, err)
	}
	for _, err := range []error{
		tokens.Revoke(t.Context(), "cccccc"),
		second(tokens.Find(t.Context(), "cccccc")),
		second(others.Find(t.Context(), a.ID)),
		others.Revoke(t.Context(), a.ID),
	} {
		if !errors.Is(err, ErrNoToken) {
			t.Errorf("%v", err)
		}
	}
}

func second(_ Token, err error) error { return err }
