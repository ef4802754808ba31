package pki

import (
	"context"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// Source is a process' credential, which is renewed while connections are made
// with it. Its authority's key stays; the certificate of that may be renewed too.
type Source struct{ current atomic.Pointer[Credential] }

// NewSource begins with a credential.
func NewSource(c *Credential) *Source {
	s := new(Source)
	s.current.Store(c)
	return s
}

// Current is the newest credential.
func (s *Source) Current() *Credential { return s.current.Load() }

// Set takes a newer credential: new handshakes use it, connections that stand are
// not touched. It must be the same holder's.
func (s *Source) Set(c *Credential) error {
	old := s.Current()
	if c.Identity() != old.Identity() {
		return fmt.Errorf("the renewed certificate is that of %s, not of %s", c.Identity(), old.Identity())
	}
	if c.Hash() != old.Hash() { // of which an identity has the beginning alone
		return fmt.Errorf("the renewed certificate is of the authority %s, not of %s", c.Hash(), old.Hash())
	}
	s.current.Store(c)
	return nil
}

// Server is TLS for a server: clients of the roles are let in and, with anonymous,
// those that show no certificate.
func (s *Source) Server(anonymous bool, roles ...Role) *tls.Config {
	auth := tls.RequireAndVerifyClientCert
	if anonymous {
		auth = tls.VerifyClientCertIfGiven
	}
	config := &tls.Config{
		MinVersion: tls.VersionTLS13,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return s.Current().certificate(), nil
		},
		ClientAuth: auth, ClientCAs: s.Current().roots(),
		// A ticket would outlive the certificate that it was given for.
		SessionTicketsDisabled: true,
		VerifyConnection: func(cs tls.ConnectionState) error {
			if len(cs.PeerCertificates) == 0 {
				return nil // which ClientAuth has judged
			}
			return expect(cs.PeerCertificates[0], clusterOf(s.Current().authority), "", roles...)
		},
	}
	// Each handshake has the authority's newest certificate. What the caller adds to the
	// config is in the clone.
	config.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		now := config.Clone()
		now.GetConfigForClient, now.ClientCAs = nil, s.Current().roots()
		return now, nil
	}
	return config
}

// Client is TLS for dialing somebody of a role and, unless it is "", of a name.
func (s *Source) Client(role Role, name string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return s.Current().certificate(), nil
		},
		// The role in the certificate is verified, not the host: see the package's
		// documentation.
		InsecureSkipVerify: true,
		VerifyConnection: func(cs tls.ConnectionState) error {
			return verify(cs.PeerCertificates, s.Current().authority, role, name)
		},
	}
}

// Introduction is TLS for one who knows the coordinator by its authority's hash
// alone and has no certificate yet.
func Introduction(hash string) *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS13,
		InsecureSkipVerify: true, // the authority is verified by its hash
		VerifyConnection: func(cs tls.ConnectionState) error {
			for _, c := range cs.PeerCertificates {
				if subtle.ConstantTimeCompare([]byte(hashOf(c)), []byte(hash)) == 1 {
					return verify(cs.PeerCertificates, c, Coordinator, "")
				}
			}
			return &Mistaken{fmt.Errorf("its authority is not the one of --ca-hash %s; take the join command from the coordinator that you mean", hash)}
		},
	}
}

// verify holds a server's chain against the authority and the identity.
func verify(chain []*x509.Certificate, authority *x509.Certificate, role Role, name string) error {
	if len(chain) == 0 {
		return errNoPeer
	}
	roots := x509.NewCertPool()
	roots.AddCert(authority)
	if _, err := chain[0].Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}); err != nil {
		return &Mistaken{fmt.Errorf("the other end is not of this cluster: %w", err)}
	}
	if err := expect(chain[0], clusterOf(authority), name, role); err != nil {
		return &Mistaken{err}
	}
	return nil
}

// Mistaken says that the other end is somebody else than who is asked for.
type Mistaken struct{ Err error }

// Error implements error.
func (e *Mistaken) Error() string { return e.Err.Error() }

// Unwrap gives what is wrong with it.
func (e *Mistaken) Unwrap() error { return e.Err }

const (
	// firstRetry and lastRetry bound the wait before a renewal is tried again.
	firstRetry = time.Second
	lastRetry  = time.Minute
	// nap is how long a timer may run: it stands still while the machine is suspended, and
	// the certificate's time does not.
	nap = time.Minute
)

// Keep renews the credential when it is due, until ctx ends. A renewal that fails
// is told and tried again.
func (s *Source) Keep(ctx context.Context, renew func(context.Context) (*Credential, error), failed func(error)) {
	s.keep(ctx, renew, failed, time.Now)
}

// keep is Keep by a clock.
func (s *Source) keep(ctx context.Context, renew func(context.Context) (*Credential, error), failed func(error), now func() time.Time) {
	due := s.Current().RenewAt()
	retry := firstRetry
	for {
		for wait := due.Sub(now()); wait > 0; wait = due.Sub(now()) {
			timer := time.NewTimer(min(wait, nap))
			select {
			case <-timer.C:
			case <-ctx.Done():
				timer.Stop()
				return
			}
		}
		if ctx.Err() != nil {
			return
		}
		c, err := renew(ctx)
		if err == nil {
			err = s.Set(c)
		}
		if err == nil {
			due, retry = c.RenewAt(), firstRetry
			if soon := now().Add(firstRetry); due.Before(soon) {
				due = soon
			}
			continue
		}
		if ctx.Err() != nil {
			return
		}
		if now().After(s.Current().Expires()) {
			err = errors.Join(errors.New("the certificate has expired; start this process again"), err)
		}
		failed(err)
		due, retry = now().Add(retry), min(2*retry, lastRetry)
	}
}
