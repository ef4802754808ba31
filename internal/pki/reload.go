package pki

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"time"
)

// Reload takes the authority's certificate from a PEM file anew, so that whoever renews it
// needs no restart, and tells whether it is another one. One of another key or name would
// be another cluster's, and what is in use stays.
func (ca *CA) Reload(certFile string, now time.Time) (changed bool, err error) {
	text, err := os.ReadFile(certFile)
	if err != nil {
		return false, err
	}
	cert, err := decodeCertificate(text)
	if err == nil {
		err = ca.renewedBy(cert, now)
	}
	if err != nil {
		return false, fmt.Errorf("%s: %w", certFile, err)
	}
	if cert.Equal(ca.cert.Load()) {
		return false, nil
	}
	ca.cert.Store(cert)
	return true, nil
}

// renewedBy refuses a certificate by which the authority would be another, or none.
func (ca *CA) renewedBy(cert *x509.Certificate, now time.Time) error {
	old := ca.cert.Load()
	switch {
	case hashOf(cert) != hashOf(old):
		return fmt.Errorf("the certificate has the key %s and not the authority's, %s, which goes on; for another authority start the cluster anew (docs/security.md, \"Rotate\")", hashOf(cert), hashOf(old))
	case !bytes.Equal(cert.RawSubject, old.RawSubject):
		return fmt.Errorf("the certificate's subject is %s and not the authority's, %s, which goes on; renew it with the same one", cert.Subject, old.Subject)
	case !cert.IsCA || cert.KeyUsage != 0 && cert.KeyUsage&x509.KeyUsageCertSign == 0:
		return errors.New("the certificate is not an authority's (CA:TRUE, or the usage to sign certificates, is missing)")
	case now.Before(cert.NotBefore) || now.After(cert.NotAfter):
		return fmt.Errorf("the certificate is valid from %v to %v; renew it", cert.NotBefore, cert.NotAfter)
	}
	return nil
}
