package pki

import (
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"
)

// Credential is a key with its certificate and the authority that it is of.
type Credential struct {
	leaf, authority *x509.Certificate
	key             crypto.Signer
}

// NewCredential puts a certificate, its authority's, both DER, and its key
// together.
func NewCredential(leaf, authority []byte, key crypto.Signer) (*Credential, error) {
	l, err := x509.ParseCertificate(leaf)
	if err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	a, err := x509.ParseCertificate(authority)
	if err != nil {
		return nil, fmt.Errorf("the authority's certificate: %w", err)
	}
	id, err := IdentityOf(l)
	switch {
	case err != nil:
		return nil, err
	case !samePublic(key.Public(), l.PublicKey):
		return nil, errors.New("the key is not the certificate's")
	case id.Cluster != clusterOf(a):
		return nil, fmt.Errorf("the certificate of %s is not of the cluster %s", id, clusterOf(a))
	}
	if err := l.CheckSignatureFrom(a); err != nil {
		return nil, fmt.Errorf("the certificate is not signed by the authority that came with it: %w", err)
	}
	return &Credential{leaf: l, authority: a, key: key}, nil
}

// NewRequest makes a key and a certificate request, DER, for it.
func NewRequest() (key crypto.Signer, request []byte, err error) {
	if key, err = newKey(); err != nil {
		return nil, nil, err
	}
	if request, err = x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key); err != nil {
		return nil, nil, fmt.Errorf("make a certificate request: %w", err)
	}
	return key, request, nil
}

// Identity is who holds the credential.
func (c *Credential) Identity() Identity {
	id, err := IdentityOf(c.leaf)
	if err != nil {
		panic("pki: a credential without an identity: " + err.Error())
	}
	return id
}

// Expires says until when the certificate is valid.
func (c *Credential) Expires() time.Time { return c.leaf.NotAfter }

// RenewAt is when the certificate should be renewed: after two thirds of its life,
// which leaves a third for a coordinator that does not answer.
func (c *Credential) RenewAt() time.Time {
	begin := c.leaf.NotBefore.Add(skew)
	return begin.Add(c.leaf.NotAfter.Sub(begin) * 2 / 3)
}

// Hash is the authority's; see CA.Hash.
func (c *Credential) Hash() string { return hashOf(c.authority) }

// PEM gives the authority's certificate, the holder's, and its key.
func (c *Credential) PEM() (authority, leaf, key []byte, err error) {
	key, err = encodeKey(c.key)
	return encodeCertificate(c.authority.Raw), encodeCertificate(c.leaf.Raw), key, err
}

// ParsePEM is the inverse of Credential.PEM.
func ParsePEM(authority, leaf, key []byte) (*Credential, error) {
	a, err := decodeCertificate(authority)
	if err != nil {
		return nil, fmt.Errorf("the authority's certificate: %w", err)
	}
	l, err := decodeCertificate(leaf)
	if err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	k, err := decodeKey(key)
	if err != nil {
		return nil, err
	}
	return NewCredential(l.Raw, a.Raw, k)
}

// certificate is what TLS shows: the holder's certificate and, for those who know
// the authority by its hash alone, the authority's.
func (c *Credential) certificate() *tls.Certificate {
	return &tls.Certificate{Certificate: [][]byte{c.leaf.Raw, c.authority.Raw}, PrivateKey: c.key, Leaf: c.leaf}
}

func (c *Credential) roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(c.authority)
	return pool
}
