package main

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// Commands that only read a Store say what to do where it can't be read, on their one line.
func TestReadersAreAdvised(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "test")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "not-a-secret")
	code := ""
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprintf(w, "<Error><Code>%s</Code><Message>no</Message><RequestId>1</RequestId></Error>", code)
	}))
	defer server.Close()
	uri := "s3://ddpm/p?region=us-east-1&insecure=true&endpoint=" + server.Listener.Addr().String()
	for _, args := range [][]string{
		{"checkpoints", "list"},
		{"checkpoints", "show", "--run", "r"},
		{"checkpoints", "verify", "--run", "r"},
		{"sample", "--run", "r", "--out", "none.png"},
		{"digest", "--run", "r"},
		{"data", "list"},
		{"data", "show", "d"},
	} {
		for said, want := range map[string]string{
			"NoSuchBucket":          "; create the bucket ddpm (ddpmctl bucket create --storage 's3://ddpm?",
			"SignatureDoesNotMatch": "; the server does not know these credentials",
			"AccessDenied":          "; let these credentials (AWS_ACCESS_KEY_ID) get and list objects",
		} {
			code = said
			var stdout, stderr bytes.Buffer
			exit := run(t.Context(), append(args, "--storage", uri), &stdout, &stderr)
			if text := stderr.String(); exit != exitFailure || strings.Count(text, want) != 1 || strings.Count(text, "\n") != 1 {
				t.Errorf("%v, %s: exit code %d, %s", args, said, exit, text)
			}
		}
	}
}
