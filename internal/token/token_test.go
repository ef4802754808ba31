package token

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestToken(t *testing.T) {
	t.Parallel()
	a, b := New(), New()
	if a == b || !a.Is(a.Hash()) || a.Is(b.Hash()) || a.Is("") || a.Is(a.Hash()[:10]) {
		t.Errorf("%v and %v are not told apart", a, b)
	}
	again, err := Parse(a.Reveal())
	if err != nil || again != a {
		t.Errorf("%v became %v, %v", a, again, err)
	}
	if c := NewFor(a.ID()); c.ID() != a.ID() || c == a {
		t.Errorf("%v for the id of %v", c, a)
	}
}

// However a token is printed or logged, its secret is not.
func TestSecretsAreNotPrinted(t *testing.T) {
	t.Parallel()
	a := New()
	var log bytes.Buffer
	for _, h := range []slog.Handler{slog.NewTextHandler(&log, nil), slog.NewJSONHandler(&log, nil)} {
		slog.New(h).Info("x", "token", a, "pointer", &a, "in", struct{ T Token }{a})
	}
	fmt.Fprintf(&log, "%v %+v %#v %s %q %v %#v", a, a, a, a, a, struct{ T Token }{a}, &a)
	if strings.Contains(log.String(), a.secret) || !strings.Contains(log.String(), a.id) {
		t.Errorf("printed: %s", log.String())
	}
}

func FuzzParse(f *testing.F) {
	good := "abc123." + strings.Repeat("0z", secretLength/2)
	for _, s := range []string{good, "", ".", good[1:], good + "0", strings.ToUpper(good), strings.Replace(good, ".", "-", 1), strings.Replace(good, "0", "\x00", 1), strings.Replace(good, "0z", "é", 1)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := Parse(s)
		if err != nil {
			if !errors.Is(err, ErrMalformed) || err.Error() != ErrMalformed.Error() {
				t.Errorf("the error tells more than it may: %v", err)
			}
			return
		}
		if got.Reveal() != s || !ValidID(got.ID()) || !got.Is(got.Hash()) {
			t.Errorf("%q became %q", s, got.Reveal())
		}
	})
}
