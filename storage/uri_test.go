package storage

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCanonical(t *testing.T) {
	wd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct{ uri, want string }{
		{"ddpm-data", filepath.Join(wd, "ddpm-data")},
		{"./a/../b/", filepath.Join(wd, "b")},
		{"/srv/ddpm/", "/srv/ddpm"},
		{"/a/b://c", "/a/b:/c"},
		{"s3", filepath.Join(wd, "s3")},
		{"s3/a//b", filepath.Join(wd, "s3/a/b")},
		{"./s3//a", filepath.Join(wd, "s3/a")},
		{"user@host", filepath.Join(wd, "user@host")},
		{"file:///srv/a%20b", "/srv/a b"},
		{"FILE://localhost/srv", "/srv"},
		{"s3://bucket", "s3://bucket"},
		{"s3://bucket/", "s3://bucket"},
		{"S3://bucket//a/b/", "s3://bucket/a/b"},
		{"s3://bucket/a%20b", "s3://bucket/a%20b"},
		{"s3://bucket/a?insecure=true&region=eu-1&endpoint=minio:9000", "s3://bucket/a?endpoint=minio:9000&insecure=true&region=eu-1"},
		{"s3://bucket?insecure=false", "s3://bucket"},
		{"s3://bucket?endpoint=[::1]:9000", "s3://bucket?endpoint=%5B::1%5D:9000"},
	}
	for _, test := range tests {
		got, err := Canonical(test.uri)
		if err != nil || got != test.want {
			t.Errorf("%s: got %q, %v, want %q", test.uri, got, err, test.want)
			continue
		}
		if again, err := Canonical(got); err != nil || again != got {
			t.Errorf("%s: again %q, %v", got, again, err)
		}
		if st := open(t, test.uri); st.String() != got {
			t.Errorf("%s: the Store says %s", test.uri, st)
		}
	}
}

func TestBadURIs(t *testing.T) {
	const secret = "hunter2"
	tests := []struct{ uri, want string }{
		{"", "no URI"},
		{"s3:bucket", "two slashes"},
		{"s3:/bucket/x", "two slashes"},
		{"s3//bucket/x", "two slashes"},
		{"S3//bucket", "two slashes"},
		{"file//srv", "file:///absolute/path"},
		{"file:/srv", "file:///absolute/path"},
		{"s3://", "no valid bucket name"},
		{"s3://B", "no valid bucket name"},
		{"s3://bucket:9000/x", "no valid bucket name"},
		{"gs://bucket/x", "unknown scheme gs://"},
		{"https://user:hunter2@host/x", "unknown scheme https://"},
		{"file://host/x", "file:///absolute/path"},
		{"file://user:hunter2@host/x", "file:///absolute/path"},
		{"file://relative", "file:///absolute/path"},
		{"s3://user:hunter2@bucket/x", "AWS_SECRET_ACCESS_KEY"},
		{"s3://user:hun/hunter2@bucket", "AWS_SECRET_ACCESS_KEY"},
		{"s3://bucket?endpoint=user:hunter2%40host:9000", "AWS_SECRET_ACCESS_KEY"},
		{"s3://bucket/a/../b", ".. segments"},
		{"s3://bucket/a?secret=hunter2", `unknown option "secret"`},
		{"s3://bucket?endpoint=a:1&endpoint=b:2", "given 2 times"},
		{"s3://bucket?endpoint=http://a:1", "without a scheme"},
		{"s3://bucket?insecure=yes", "true or false"},
		{"s3://bucket?a;b", "can't read the options"},
	}
	for _, test := range tests {
		for _, err := range []error{
			func() error { _, err := Canonical(test.uri); return err }(),
			func() error { _, err := Open(t.Context(), test.uri); return err }(),
		} {
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.HasPrefix(err.Error(), "storage") {
				t.Errorf("%s: got %v, want %s", test.uri, err, test.want)
			} else if strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s: tells the password, or has several lines: %v", test.uri, err)
			}
		}
	}
}

func FuzzCanonical(f *testing.F) {
	for _, uri := range []string{"a", "file:///a", "s3://bucket/a%3Fb?endpoint=h:1&region=x&insecure=true", "s3://u:p@b"} {
		f.Add(uri)
	}
	f.Fuzz(func(t *testing.T, uri string) {
		got, err := Canonical(uri)
		if err != nil {
			return
		}
		if again, err := Canonical(got); err != nil || again != got {
			t.Errorf("%q: %q, then %q, %v", uri, got, again, err)
		}
		if strings.HasPrefix(got, "s3://") && strings.Contains(got, "@") {
			t.Errorf("%q: user information in %q", uri, got)
		}
	})
}
