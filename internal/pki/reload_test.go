package pki

import (
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// authorityFile is a certificate of a key, such as whoever renews an authority's makes.
func authorityFile(t *testing.T, key crypto.Signer, edit func(*x509.Certificate)) string {
	t.Helper()
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: "ddpm-cluster CA"}, NotBefore: now.Add(-skew), NotAfter: now.Add(caLife),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	if edit != nil {
		edit(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), CertFile)
	if err := os.WriteFile(path, encodeCertificate(der), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// An authority's certificate that is renewed with its key goes on where the old one ends:
// with the configs of before, for those who have renewed theirs, and for nobody else.
func TestAuthorityIsRenewed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ca := newCA(t)
		hash := ca.Hash()
		sources := map[string]*Source{}
		leaf := func(name string) Leaf {
			role := Worker
			if name == "coordinator" {
				role = Coordinator
			}
			return Leaf{Role: role, Name: name, Life: 48 * time.Hour}
		}
		for _, name := range []string{"coordinator", "worker", "late"} {
			c, err := ca.Issue(leaf(name), time.Now())
			if err != nil {
				t.Fatal(err)
			}
			sources[name] = NewSource(c)
		}
		server, client := sources["coordinator"].Server(true, Worker), sources["worker"].Client(Coordinator, "")
		peer, late := sources["worker"].Server(false, Worker), sources["late"].Client(Worker, "worker")
		meet := func(name string, server, client *tls.Config, want string) {
			t.Helper()
			_, serverErr, clientErr := handshake(t, server, client)
			err := errors.Join(serverErr, clientErr)
			if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
				t.Errorf("%s: %v, want %q", name, err, want)
			}
		}
		renew := func(name string) {
			t.Helper()
			c, err := ca.Issue(leaf(name), time.Now())
			if err == nil {
				err = sources[name].Set(c)
			}
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		time.Sleep(caLife - time.Hour)
		for name := range sources { // the old authority's last
			renew(name)
		}
		if changed, err := ca.Reload(authorityFile(t, ca.key, nil), time.Now()); err != nil || !changed || ca.Hash() != hash {
			t.Fatalf("%v, %v", changed, err)
		}
		meet("before", server, client, "")
		renew("coordinator")
		meet("while the coordinator alone has the new one", server, client, "")
		meet("a newcomer", server, Introduction(hash), "")
		renew("worker")
		meet("who is late, while the old one is valid", peer, late, "")
		time.Sleep(2 * time.Hour)
		meet("after the old one's end", server, client, "")
		meet("who is late", peer, late, "expired")
		renew("late")
		meet("who was late", peer, late, "")

		// Another authority is as unknown as ever.
		other := newCA(t)
		meet("another cluster's worker", server, with(issue(t, other, Worker, "worker"), &tls.Config{InsecureSkipVerify: true}), "unknown authority")
		meet("another cluster's coordinator", issue(t, other, Coordinator, "coordinator").Server(true, Worker), client, "not of this cluster")
		stranger, err := other.Issue(leaf("worker"), time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if sources["worker"].Set(stranger) == nil {
			t.Error("another authority's certificate is taken")
		}
	})
}

// What a renewed file says is taken where the authority stays the same.
func TestReload(t *testing.T) {
	t.Parallel()
	ca := newCA(t)
	same := authorityFile(t, ca.key, nil)
	for range 2 {
		if _, err := ca.Reload(same, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	if changed, err := ca.Reload(same, time.Now()); err != nil || changed {
		t.Errorf("the same again: %v, %v", changed, err)
	}
	before := ca.Certificate()
	otherKey, err := newKey()
	if err != nil {
		t.Fatal(err)
	}
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, v := range []struct{ name, file, want string }{
		{"another key", authorityFile(t, otherKey, nil), ca.Hash()},
		{"another name", authorityFile(t, ca.key, func(c *x509.Certificate) { c.Subject.CommonName = "x" }), "CN=x"},
		{"no authority", authorityFile(t, ca.key, func(c *x509.Certificate) { c.IsCA, c.KeyUsage = false, x509.KeyUsageDigitalSignature }), "CA:TRUE"},
		{"one that signs nothing", authorityFile(t, ca.key, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCRLSign }), "sign certificates"},
		{"an expired one", authorityFile(t, ca.key, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }), "valid from"},
		{"one of tomorrow", authorityFile(t, ca.key, func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Hour) }), "valid from"},
		{"no certificate", empty, "no PEM certificate"},
		{"no file", empty + "x", "no such file"},
	} {
		changed, err := ca.Reload(v.file, time.Now())
		if err == nil || changed || !strings.Contains(err.Error(), v.want) || !strings.Contains(err.Error(), v.file) {
			t.Errorf("%s: %v, %v, want %q", v.name, changed, err, v.want)
		}
	}
	if !ca.Certificate().Equal(before) {
		t.Error("what was refused is in use")
	}
	if _, err := ca.Issue(Leaf{Role: Worker, Name: "w", Life: time.Hour}, time.Now()); err != nil {
		t.Error(err)
	}
}
