package storage

import (
	"context"
	"errors"
	"net/http"
	"os"
	"strings"
	"testing"
)

// Who only reads hears what to do, as who probes does, and nobody hears it twice.
func TestAdvised(t *testing.T) {
	fake := startFakeS3(t)
	options := "?endpoint=" + fake.address + "&insecure=true&region=us-east-1"
	refuse := func(code string) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, _ *http.Request) bool {
			s3Error(w, http.StatusForbidden, code)
			return true
		}
	}
	list := func(st Store) error { _, err := st.List(t.Context(), "runs/"); return err }
	get := func(st Store) error { _, _, err := st.Get(t.Context(), "runs/r/run.json"); return err }
	for name, test := range map[string]struct {
		uri    string
		answer func(http.ResponseWriter, *http.Request) bool
		do     func(Store) error
		want   string // "": nothing
	}{
		"no bucket to list":      {"s3://other" + options, nil, list, "create the bucket other (ddpmctl bucket create --storage 's3://other?"},
		"no bucket to read":      {"s3://other/below" + options, nil, get, "create the bucket other (ddpmctl bucket create --storage 's3://other?"},
		"wrong secret":           {"s3://bucket" + options, refuse("SignatureDoesNotMatch"), list, "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"},
		"denied":                 {"s3://bucket" + options, refuse("AccessDenied"), get, "let these credentials (AWS_ACCESS_KEY_ID) get and list objects"},
		"no object":              {"s3://bucket" + options, nil, get, ""},
		"a key that is no key":   {"s3://bucket" + options, nil, func(st Store) error { _, err := st.List(t.Context(), "../x"); return err }, ""},
		"a probe, which says it": {"s3://other" + options, nil, func(st Store) error { return Probe(t.Context(), st, quiet()) }, ""},
		"a probe of a reader":    {"s3://bucket" + options, refuse("AccessDenied"), func(st Store) error { return Probe(t.Context(), st, quiet()) }, ""},
		"stopped": {"s3://bucket" + options, nil, func(st Store) error {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			_, err := st.List(ctx, "")
			return err
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			fake.answer = test.answer
			err := test.do(open(t, test.uri))
			if err == nil {
				t.Fatal("no error")
			}
			said, ok := strings.CutPrefix(Advised(err).Error(), err.Error())
			if !ok || test.want == "" && said != "" || !strings.Contains(said, test.want) || !errors.Is(Advised(err), err) {
				t.Errorf("%v: it is advised %q, want %q", err, said, test.want)
			}
		})
	}
	if err := Advised(nil); err != nil {
		t.Errorf("nothing became %v", err)
	}
	if err := Advised(os.ErrClosed); err.Error() != os.ErrClosed.Error() {
		t.Errorf("another error became %v", err)
	}
}

// Without credentials the server only says "Access Denied": what is missing is said, and where
// it was looked for.
func TestAdvisedWithoutCredentials(t *testing.T) {
	fake := startFakeS3(t)
	noCredentials(t)
	fake.answer = func(w http.ResponseWriter, r *http.Request) bool {
		s3Error(w, http.StatusForbidden, "AccessDenied")
		return true
	}
	_, err := open(t, "s3://bucket?insecure=true&region=us-east-1&endpoint="+fake.address).List(t.Context(), "")
	for _, want := range []string{"no credentials were found", "AWS_ACCESS_KEY_ID", "MINIO_ROOT_USER", "~/.aws/credentials", "AWS_SHARED_CREDENTIALS_FILE"} {
		if err = Advised(err); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: lacks %q", err, want)
		}
	}
}

// Who makes the bucket is not told to make it, where something else answers.
func TestMakeBucketElsewhere(t *testing.T) {
	fake := startFakeS3(t)
	fake.answer = func(w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(http.StatusNotFound)
		return true
	}
	_, err := MakeBucket(t.Context(), "s3://bucket?insecure=true&region=us-east-1&endpoint="+fake.address)
	if err == nil || !strings.Contains(err.Error(), "see that what answers at the endpoint is the S3 server") || strings.Contains(err.Error(), "bucket create") {
		t.Errorf("got %v", err)
	}
}
