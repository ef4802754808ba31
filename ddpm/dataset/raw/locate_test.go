package raw

import "testing"

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
