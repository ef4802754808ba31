package storage

import (
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/minio/minio-go/v7/pkg/credentials"
)

// credentialsOf asks the environment, the user's files and the machine, in this
// order. The machine is asked only where it can have an answer: an address that
// nobody listens on would hold up every request.
func credentialsOf(loc location) *credentials.Credentials {
	s := &source{providers: []credentials.Provider{
		&credentials.EnvAWS{},
		&credentials.EnvMinio{},
		&credentials.FileAWSCredentials{},
	}}
	for _, name := range []string{"AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"} {
		s.named = s.named || os.Getenv(name) != ""
	}
	if s.named || loc.endpoint == "" {
		s.providers = append(s.providers, &credentials.IAM{Client: &http.Client{Timeout: 5 * time.Second}})
	}
	return credentials.New(s)
}

// source is a provider of credentials made of several. The first that gives some is
// asked from then on, and no other. Where it fails to renew them its error is the
// request's, which may be tried again: a request that is sent without credentials is
// refused for good. minio-go's chain sends it.
type source struct {
	providers []credentials.Provider
	// named says that the environment names the last of them, the machine's role, whose
	// failure then is not that there are no credentials.
	named  bool
	chosen credentials.Provider // nil before one has given any
	value  credentials.Value    // that it gave last
	// again is when a renewal that failed is tried again, while the value is valid.
	again time.Time
}

// renewPause lies between two tries to renew credentials that are valid: each may take
// as long as a server that does not answer is waited for.
const renewPause = 10 * time.Second

// credentialError is a failure to get credentials, before any request is sent.
type credentialError struct{ error }

func (e credentialError) Unwrap() error { return e.error }

func (e credentialError) Error() string { return fmt.Sprintf("get credentials: %v", e.error) }

// RetrieveWithCredContext implements credentials.Provider.
func (s *source) RetrieveWithCredContext(cc *credentials.CredContext) (credentials.Value, error) {
	if s.chosen == nil {
		return s.choose(cc)
	}
	v, err := s.chosen.RetrieveWithCredContext(cc)
	switch {
	case err == nil:
		s.value, s.again = v, time.Time{}
	case time.Now().Before(s.value.Expiration):
		s.again = time.Now().Add(renewPause)
	default:
		return credentials.Value{}, credentialError{err}
	}
	return s.value, nil
}

// choose finds the provider to ask from now on. Where there is none, requests are not
// signed.
func (s *source) choose(cc *credentials.CredContext) (credentials.Value, error) {
	var last error
	for _, p := range s.providers {
		var v credentials.Value
		if v, last = p.RetrieveWithCredContext(cc); v.AccessKeyID != "" || v.SecretAccessKey != "" {
			s.chosen, s.value = p, v
			return v, nil
		}
	}
	if s.named && last != nil {
		return credentials.Value{}, credentialError{last}
	}
	return credentials.Value{SignerType: credentials.SignatureAnonymous}, nil
}

// Retrieve implements credentials.Provider.
func (s *source) Retrieve() (credentials.Value, error) {
	return s.RetrieveWithCredContext(&credentials.CredContext{Client: http.DefaultClient})
}

// IsExpired implements credentials.Provider.
func (s *source) IsExpired() bool {
	now := time.Now()
	if now.Before(s.again) && now.Before(s.value.Expiration) {
		return false
	}
	return s.chosen == nil || s.chosen.IsExpired()
}
