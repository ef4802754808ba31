package storage

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"

	"github.com/minio/minio-go/v7"
)

// hint says what to do about a failed probe.
func hint(st Store, err error) string {
	s, ok := st.(*s3)
	switch {
	case errors.Is(err, context.Canceled):
		return "stopped before it was known to work"
	case !ok:
		return "choose another --storage or --data-dir"
	}
	return s.hint(err, rightsOfWriters)
}

// hint says what to do about an error, in an operation that takes these rights.
func (s *s3) hint(err error, rights string) string {
	switch {
	case errors.Is(err, errNotCreateOnly):
		return "take a server that honours If-None-Match, such as a current MinIO or AWS"
	case errors.As(err, new(credentialError)):
		return "see that the server of the machine's role answers (AWS_CONTAINER_CREDENTIALS_… and AWS_WEB_IDENTITY_TOKEN_FILE say where), or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
	}
	var answer minio.ErrorResponse
	if !errors.As(err, &answer) {
		return s.hintNoAnswer(err)
	}
	return s.hintAnswer(answer, rights)
}

// hintNoAnswer is for a failure before an S3 server has answered.
func (s *s3) hintNoAnswer(err error) string {
	var dns *net.DNSError
	var record tls.RecordHeaderError
	switch {
	case errors.As(err, &dns):
		return "no machine has the endpoint's name; check endpoint= in --storage"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nothing listens at the endpoint; start the server, or check endpoint= in --storage"
	case errors.As(err, &record) || strings.Contains(err.Error(), "HTTP response to HTTPS client"):
		return "the endpoint speaks plain HTTP: add insecure=true to --storage"
	}
	return "check that the endpoint is right, reachable, and speaks " + protocol(s.loc)
}

// hintAnswer is for what an S3 server has said, or another one.
func (s *s3) hintAnswer(answer minio.ErrorResponse, rights string) string {
	switch answer.Code {
	case minio.NoSuchBucket:
		if answer.RequestID == "" { // minio-go calls every 404 so
			return "see that what answers at the endpoint is the S3 server, and " + s.createBucket()
		}
		return s.createBucket() + ", or choose another --storage"
	case minio.InvalidAccessKeyID, minio.SignatureDoesNotMatch:
		return "the server does not know these credentials; check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
	case minio.AccessDenied:
		if !s.hasCredentials() {
			return "no credentials were found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or MINIO_ROOT_USER and MINIO_ROOT_PASSWORD), " +
				"or write them to ~/.aws/credentials (or the file of AWS_SHARED_CREDENTIALS_FILE; the profile of AWS_PROFILE)"
		}
		return "let these credentials (AWS_ACCESS_KEY_ID) " + rights + " objects in the bucket " + s.loc.bucket
	case minio.RequestTimeTooSkewed:
		return "this machine's clock and the server's are more than 15 minutes apart; set the one that is wrong"
	case minio.AuthorizationHeaderMalformed, minio.InvalidRegion, "PermanentRedirect", "TemporaryRedirect":
		if answer.Region != "" {
			return fmt.Sprintf("the bucket is in the region %s: write region=%s in --storage", answer.Region, answer.Region)
		}
		return "the bucket is in another region; write region=NAME in --storage, or check endpoint="
	case "SlowDown", "SlowDownWrite", "SlowDownRead", "ServiceUnavailable", "InternalError", "XMinioServerNotInitialized":
		return "the server is overloaded or not up yet; try again later"
	case "XMinioStorageFull":
		return "the server's disk is full; make room, or choose another --storage"
	}
	if strings.Contains(answer.Message, "HTTP request to an HTTPS server") || strings.Contains(answer.Message, "HTTP request was sent to HTTPS") {
		return "the endpoint speaks HTTPS: take insecure=true out of --storage"
	}
	if answer.Code == "" || strings.HasPrefix(answer.Code, "4") || strings.HasPrefix(answer.Code, "5") {
		return "what answers does not look like an S3 server; check endpoint= in --storage"
	}
	return "choose another --storage"
}

// createBucket is how to have the bucket.
func (s *s3) createBucket() string {
	bucket := s.loc
	bucket.prefix = ""
	return fmt.Sprintf("create the bucket %s (ddpmctl bucket create --storage '%s')", bucket.bucket, bucket)
}

// hasCredentials says whether requests are signed at all.
func (s *s3) hasCredentials() bool {
	v, err := s.client.GetCreds()
	return err == nil && v.AccessKeyID != ""
}

func protocol(loc location) string {
	if loc.insecure {
		return "HTTP (insecure=true is set)"
	}
	return "HTTPS (insecure=true asks for HTTP)"
}
