package raw

import (
	"context"
	"testing"

	"github.com/ddpm-cluster/ddpm-cluster/ddpm/dataset/packed"
)

func TestSplit(t *testing.T) {
	for uri, want := range map[string][2]string{
		"/a/b.tar":                   {"/a/", "b.tar"},
		"/b.tar":                     {"/", "b.tar"},
		"/":                          {"/", ""},
		"file:///a/b":                {"file:///a/", "b"},
		"s3://bucket":                {"s3://bucket", ""},
		"s3://bucket?endpoint=h:1":   {"s3://bucket?endpoint=h:1", ""},
		"s3://bucket/a?endpoint=h:1": {"s3://bucket/?endpoint=h:1", "a"},
		"s3://bucket/a/b/?region=x":  {"s3://bucket/a/?region=x", "b"},
	} {
		if parent, base := split(uri); parent != want[0] || base != want[1] {
			t.Errorf("%s is split into %q and %q, want %q", uri, parent, base, want)
		}
	}
}

// A URI's last part is escaped as the others are. A key that has a percent sign is found as
// it is, too; a path is never escaped.
func TestLocateUnescapes(t *testing.T) {
	content := testdata(t, "stored.npz")
	for _, v := range []struct {
		uri, parent, key string
	}{
		{"s3://bucket/a%20b/my%20file.npz?region=x", "s3://bucket/a%20b/?region=x", "my file.npz"},
		{"s3://bucket/my file.npz", "s3://bucket/", "my file.npz"},
		{"s3://bucket/my%20file.npz", "s3://bucket/", "my%20file.npz"},
		{"s3://bucket/100%.npz", "s3://bucket/", "100%.npz"},
		{"file:///tmp/my%20file.npz", "file:///tmp/", "my file.npz"},
		{"/tmp/my%20file.npz", "/tmp/", "my%20file.npz"},
	} {
		s, err := Locate(t.Context(), v.uri, func(_ context.Context, uri string) (packed.Store, error) {
			if uri != v.parent {
				return files{}, nil
			}
			return files{v.key: content}, nil
		})
		if err != nil || len(s.Files) != 1 || s.Files[0].Key != v.key {
			t.Errorf("%s: %v, want %s in %s", v.uri, err, v.key, v.parent)
		}
	}
	s, err := Locate(t.Context(), "s3://bucket/a%20b.npz", func(context.Context, string) (packed.Store, error) {
		return files{"a b.npz": content, "a%20b.npz": content}, nil
	})
	if err != nil || s.Files[0].Key != "a b.npz" {
		t.Errorf("of two it takes another: %v", err)
	}
	if _, err := Locate(t.Context(), "/tmp/my%20file.npz", func(_ context.Context, uri string) (packed.Store, error) {
		if uri != "/tmp/" {
			return files{}, nil
		}
		return files{"my file.npz": content}, nil
	}); err == nil {
		t.Error("a path is unescaped")
	}
}
