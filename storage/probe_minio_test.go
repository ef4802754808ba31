package storage

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ddpm-cluster/ddpm-cluster/internal/s3test"
)

// What a user may be allowed too little of.
const onlyReads = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:GetObject","s3:ListBucket"],"Resource":["arn:aws:s3:::*"]}]}`

const noLists = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:GetObject","s3:PutObject","s3:DeleteObject"],"Resource":["arn:aws:s3:::*"]}]}`

const noDeletes = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:GetObject","s3:PutObject","s3:ListBucket"],"Resource":["arn:aws:s3:::*"]}]}`

// What a user may have wrong is one clear line at the start, on a real server.
func TestProbeOnMinIO(t *testing.T) {
	server := s3test.StartMinIO(t, "MINIO_SITE_REGION=eu-west-3")
	web := httptest.NewServer(http.NotFoundHandler())
	defer web.Close()
	tlsWeb := httptest.NewTLSServer(http.NotFoundHandler())
	defer tlsWeb.Close()
	plain := func(address string) string { return s3test.URI(address, "p") }
	secure := func(address string) string { return "s3://" + s3test.Bucket + "/p?endpoint=" + address }
	good := server.Env()
	for _, test := range []struct {
		name, uri string
		env       []string
		want      []string
	}{
		{"all well", plain(server.Address), good, nil},
		{"all well, region named", plain(server.Address) + "&region=eu-west-3", good, nil},
		{"no bucket", "s3://other?insecure=true&endpoint=" + server.Address, good, []string{"create the bucket other (ddpmctl bucket create --storage 's3://other?endpoint=" + server.Address + "&insecure=true')"}},
		{"no credentials", plain(server.Address), nil, []string{"no credentials were found: set AWS_ACCESS_KEY_ID", "~/.aws/credentials"}},
		{"unknown user", plain(server.Address), []string{"AWS_ACCESS_KEY_ID=nobody", "AWS_SECRET_ACCESS_KEY=not-a-secret"}, []string{"does not know these credentials"}},
		{"wrong secret", plain(server.Address), []string{good[0], "AWS_SECRET_ACCESS_KEY=not-a-secret"}, []string{"does not know these credentials"}},
		{"may only read", plain(server.Address), server.Restricted(onlyReads), []string{"can't write", "let these credentials"}},
		{"may not list", plain(server.Address), server.Restricted(noLists), []string{"can't list", "let these credentials"}},
		{"may not delete", plain(server.Address), server.Restricted(noDeletes), []string{"can't delete", "let these credentials"}},
		{"another region", plain(server.Address) + "&region=us-east-1", good, []string{"the bucket is in the region eu-west-3: write region=eu-west-3"}},
		{"nobody listens", plain(closedAddress(t)), good, []string{"nothing listens at the endpoint"}},
		{"no such host", plain("no-such-host.invalid:9000"), good, []string{"check endpoint="}},
		{"a web server", plain(web.Listener.Addr().String()), good, []string{"see that what answers at the endpoint is the S3 server"}},
		{"HTTPS to HTTP", secure(server.Address), good, []string{"add insecure=true"}},
		{"HTTP to HTTPS", plain(tlsWeb.Listener.Addr().String()), good, []string{"take insecure=true out"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"} {
				t.Setenv(name, "")
			}
			t.Setenv("HOME", t.TempDir())
			for _, v := range test.env {
				name, value, _ := strings.Cut(v, "=")
				t.Setenv(name, value)
			}
			checkLine(t, Probe(t.Context(), open(t, test.uri), quiet()), test.want)
		})
	}
}

// checkLine holds an error against words it has to have; none wants no error.
func checkLine(t *testing.T, err error, want []string) {
	t.Helper()
	if want == nil {
		if err != nil {
			t.Error(err)
		}
		return
	}
	if err == nil {
		t.Fatal("no error")
	}
	t.Log(err)
	for _, w := range append(want, "storage s3://") {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%q lacks %q", err, w)
		}
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("%q has several lines", err)
	}
}

// The bubble's clock is that of the year 2000, the server's is not.
func TestProbeWithAnotherClock(t *testing.T) {
	server := s3test.StartMinIO(t)
	server.SetEnv(t)
	synctest.Test(t, func(t *testing.T) {
		st := open(t, s3test.URI(server.Address, "p"))
		defer st.(*s3).transport.CloseIdleConnections()
		checkLine(t, Probe(t.Context(), st, quiet()), []string{"this machine's clock and the server's"})
	})
}

// A server that takes everything and answers nothing ends the start as well.
func TestProbeOfASilentServer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	t.Setenv("AWS_ACCESS_KEY_ID", "test")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "not-a-secret")
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	checkLine(t, Probe(ctx, open(t, s3test.URI(l.Addr().String(), "p")), quiet()), []string{"reachable"})
}
