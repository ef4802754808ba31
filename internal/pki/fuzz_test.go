package pki

import (
	"crypto/x509"
	"testing"
	"time"
)

// Whatever a certificate says, its identity is one that this package would write,
// or none.
func FuzzIdentity(f *testing.F) {
	ca, err := NewCA(time.Now())
	if err != nil {
		f.Fatal(err)
	}
	for _, role := range []Role{Worker, Admin, Coordinator} {
		c, err := ca.Issue(Leaf{Role: role, Name: "n", Token: "abcdef", Life: time.Hour}, time.Now())
		if err != nil {
			f.Fatal(err)
		}
		f.Add(c.leaf.Raw)
	}
	f.Add(ca.Certificate().Raw)
	f.Fuzz(func(t *testing.T, der []byte) {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return
		}
		if id, err := IdentityOf(c); err == nil && id.validate() != nil {
			t.Errorf("%+v is no identity", id)
		}
	})
}

// Whatever files hold, they are a credential whose key is its certificate's, of the
// authority beside it, or none.
func FuzzParsePEM(f *testing.F) {
	ca, err := NewCA(time.Now())
	if err != nil {
		f.Fatal(err)
	}
	c, err := ca.Issue(Leaf{Role: Worker, Name: "n", Life: time.Hour}, time.Now())
	if err != nil {
		f.Fatal(err)
	}
	authority, leaf, key, err := c.PEM()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(authority, leaf, key)
	f.Add(leaf, leaf, key)
	f.Add(authority, leaf, key[:len(key)/2])
	f.Fuzz(func(t *testing.T, authority, leaf, key []byte) {
		c, err := ParsePEM(authority, leaf, key)
		if err == nil && (!samePublic(c.key.Public(), c.leaf.PublicKey) || c.leaf.CheckSignatureFrom(c.authority) != nil) {
			t.Errorf("a credential of %s that is none", c.Identity())
		}
	})
}
