package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"sync/atomic"
	"time"
)

const (
	// caLife is how long a new authority is valid.
	caLife = 10 * 365 * 24 * time.Hour
	// skew is how far the clocks of a cluster may be apart: a certificate is valid
	// as long before it was made.
	skew = 5 * time.Minute
	// MaxRequest bounds a certificate request, in bytes; one on P-256 has about 200.
	MaxRequest = 4 << 10
	// tokenUnit begins the organizational unit that keeps a token's id.
	tokenUnit = "token:"
)

// CA is a cluster's certificate authority.
type CA struct {
	// cert is another after Reload, of the same key and name.
	cert atomic.Pointer[x509.Certificate]
	key  crypto.Signer
}

func caOf(cert *x509.Certificate, key crypto.Signer) *CA {
	ca := &CA{key: key}
	ca.cert.Store(cert)
	return ca
}

// Leaf is what a certificate is to say.
type Leaf struct {
	Role  Role
	Name  string
	Token string
	// Hosts are the addresses and names at which the holder serves, for clients
	// that ask for them, such as browsers.
	Hosts []string
	Life  time.Duration
}

// NewCA makes an authority with a key of its own.
func NewCA(now time.Time) (*CA, error) {
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: "ddpm-cluster CA"},
		NotBefore: now.Add(-skew), NotAfter: now.Add(caLife),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make a certificate authority: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("make a certificate authority: %w", err)
	}
	return caOf(cert, key), nil
}

// Hash is "sha256:HEX" of the authority's public key (its DER
// SubjectPublicKeyInfo), which is what kubeadm calls the CA certificate hash.
func (ca *CA) Hash() string { return hashOf(ca.cert.Load()) }

// Cluster names the authority's cluster: the first 8 bytes of its hash, in hex.
func (ca *CA) Cluster() string { return clusterOf(ca.cert.Load()) }

// Certificate is the authority's own.
func (ca *CA) Certificate() *x509.Certificate { return ca.cert.Load() }

// PEM gives the authority's certificate and its key.
func (ca *CA) PEM() (certificate, key []byte, err error) {
	key, err = encodeKey(ca.key)
	return encodeCertificate(ca.cert.Load().Raw), key, err
}

func hashOf(c *x509.Certificate) string {
	sum := sha256.Sum256(c.RawSubjectPublicKeyInfo)
	return hashPrefix + hex.EncodeToString(sum[:])
}

func clusterOf(c *x509.Certificate) string {
	sum := sha256.Sum256(c.RawSubjectPublicKeyInfo)
	return hex.EncodeToString(sum[:8])
}

const hashPrefix = "sha256:"

// ValidHash says whether a string can be the hash of an authority.
func ValidHash(s string) bool {
	if len(s) != len(hashPrefix)+2*sha256.Size || s[:len(hashPrefix)] != hashPrefix {
		return false
	}
	_, err := hex.DecodeString(s[len(hashPrefix):])
	return err == nil
}

// Sign answers a certificate request, DER. Only its key counts: what the
// certificate says is the authority's to decide.
func (ca *CA) Sign(request []byte, l Leaf, now time.Time) ([]byte, error) {
	if len(request) > MaxRequest {
		return nil, fmt.Errorf("a certificate request of %d bytes; %d are enough", len(request), MaxRequest)
	}
	csr, err := x509.ParseCertificateRequest(request)
	if err != nil {
		return nil, fmt.Errorf("malformed certificate request: %w", err)
	}
	if err := csr.CheckSignature(); err != nil {
		return nil, fmt.Errorf("the certificate request is not signed by its own key: %w", err)
	}
	switch key := csr.PublicKey.(type) {
	case *ecdsa.PublicKey:
		if key.Curve != elliptic.P256() {
			return nil, fmt.Errorf("a key on %s; use P-256 or Ed25519", key.Curve.Params().Name)
		}
	case ed25519.PublicKey:
	default:
		return nil, fmt.Errorf("a key of the kind %s; use ECDSA on P-256 or Ed25519", csr.PublicKeyAlgorithm)
	}
	return ca.issue(csr.PublicKey, l, now)
}

// Issue makes a key and its certificate.
func (ca *CA) Issue(l Leaf, now time.Time) (*Credential, error) {
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	der, err := ca.issue(key.Public(), l, now)
	if err != nil {
		return nil, err
	}
	return NewCredential(der, ca.cert.Load().Raw, key)
}

func (ca *CA) issue(key crypto.PublicKey, l Leaf, now time.Time) ([]byte, error) {
	id := Identity{Cluster: ca.Cluster(), Role: l.Role, Name: l.Name, Token: l.Token}
	if err := id.validate(); err != nil {
		return nil, fmt.Errorf("issue a certificate: %w", err)
	}
	own := ca.cert.Load()
	end := now.Add(l.Life)
	if end.After(own.NotAfter) {
		end = own.NotAfter
	}
	if !now.Before(end) {
		return nil, errors.New("issue a certificate: the authority has expired; make another (docs/security.md, \"Rotate\")")
	}
	template := &x509.Certificate{
		SerialNumber: serial(),
		Subject:      pkix.Name{CommonName: l.Name, Organization: []string{string(l.Role)}},
		NotBefore:    now.Add(-skew), NotAfter: end,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
		URIs:                  []*url.URL{id.uri()},
	}
	if l.Token != "" {
		template.Subject.OrganizationalUnit = []string{tokenUnit + l.Token}
	}
	if l.Role != Admin {
		template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
	}
	for _, host := range l.Hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else if host != "" {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, own, key, ca.key)
	if err != nil {
		return nil, fmt.Errorf("issue a certificate: %w", err)
	}
	return der, nil
}

func newKey() (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	return key, nil
}

// serial is a random number that no other certificate has.
func serial() *big.Int {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[0] &= 0x7f           // positive
	b[0] |= 0x40           // and of full length
	return new(big.Int).SetBytes(b[:])
}
