package pki

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func newCA(t *testing.T) *CA {
	t.Helper()
	ca, err := NewCA(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func issue(t *testing.T, ca *CA, role Role, name string) *Source {
	t.Helper()
	c, err := ca.Issue(Leaf{Role: role, Name: name, Life: time.Hour}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return NewSource(c)
}

// handshake connects a client and a server, and returns what each says of it.
func handshake(t *testing.T, server, client *tls.Config) (state tls.ConnectionState, serverErr, clientErr error) {
	t.Helper()
	a, b := net.Pipe()
	deadline := time.Now().Add(10 * time.Second)
	_ = a.SetDeadline(deadline)
	_ = b.SetDeadline(deadline)
	s, c := tls.Server(a, server), tls.Client(b, client)
	done := make(chan error, 1)
	go func() {
		err := s.Handshake()
		if err == nil {
			_, err = s.Write([]byte("x"))
		}
		if err != nil {
			_ = a.Close()
		}
		done <- err
	}()
	// A client hears of its certificate's refusal when it reads.
	_, clientErr = c.Read(make([]byte, 1))
	_ = b.Close()
	serverErr = <-done
	return s.ConnectionState(), serverErr, clientErr
}

func TestWhoMayConnect(t *testing.T) {
	t.Parallel()
	ours, theirs := newCA(t), newCA(t)
	coordinator := issue(t, ours, Coordinator, "c")
	worker, other, admin := issue(t, ours, Worker, "w1"), issue(t, ours, Worker, "w2"), issue(t, ours, Admin, "a")
	expired, err := ours.Issue(Leaf{Role: Worker, Name: "w1", Life: time.Hour}, time.Now().Add(-2*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	foreign, foreignCoordinator := issue(t, theirs, Worker, "w1"), issue(t, theirs, Coordinator, "c")
	plain := &tls.Config{InsecureSkipVerify: true}
	for _, v := range []struct {
		name           string
		server, client *tls.Config
		want           string // of either error; "": both are content
	}{
		{"a worker", coordinator.Server(false, Worker), worker.Client(Coordinator, ""), ""},
		{"an administrator", coordinator.Server(false, Worker, Admin), admin.Client(Coordinator, "c"), ""},
		{"workers", other.Server(false, Worker), worker.Client(Worker, "w2"), ""},
		{"nobody, where it may", coordinator.Server(true, Worker), Introduction(ours.Hash()), ""},
		{"nobody", coordinator.Server(false, Worker), Introduction(ours.Hash()), "certificate"},
		{"no certificate", coordinator.Server(false, Worker), plain, "certificate"},
		{"an expired one", coordinator.Server(true, Worker), NewSource(expired).Client(Coordinator, ""), "expired"},
		{"another cluster's worker", coordinator.Server(true, Worker), foreign.Client(Coordinator, ""), "not of this cluster"},
		{"another cluster's worker that looks away", coordinator.Server(true, Worker), with(foreign, plain), "unknown authority"},
		{"another cluster's coordinator", foreignCoordinator.Server(true, Worker), worker.Client(Coordinator, ""), "not of this cluster"},
		{"another cluster, by its hash", foreignCoordinator.Server(true, Worker), Introduction(ours.Hash()), "--ca-hash"},
		{"a worker as coordinator", other.Server(true, Worker), Introduction(ours.Hash()), "coordinator is asked for"},
		{"another worker", other.Server(false, Worker), worker.Client(Worker, "w3"), "worker/w3 is asked for"},
		{"the wrong role", coordinator.Server(false, Admin), worker.Client(Coordinator, ""), "admin is asked for"},
		{"an administrator as server", admin.Server(false, Worker), worker.Client(Admin, ""), "incompatible key usage"},
		{"old TLS", coordinator.Server(true, Worker), &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12}, "version"},
	} {
		state, serverErr, clientErr := handshake(t, v.server, v.client)
		err := errors.Join(serverErr, clientErr)
		if v.want == "" && err != nil || v.want != "" && (err == nil || !strings.Contains(err.Error(), v.want)) {
			t.Errorf("%s: %v, want %q", v.name, err, v.want)
		}
		if id, err := PeerOf(state); v.name == "a worker" && (err != nil || id != worker.Current().Identity()) {
			t.Errorf("the peer is %v, %v", id, err)
		}
	}
}

// with shows a certificate and verifies nothing.
func with(s *Source, c *tls.Config) *tls.Config {
	c = c.Clone()
	c.Certificates = []tls.Certificate{*s.Current().certificate()}
	return c
}

// A certificate of the authority that says nothing of a cluster is nobody's.
func TestOtherCertificatesOfTheAuthority(t *testing.T) {
	t.Parallel()
	ca := newCA(t)
	key, err := newKey()
	if err != nil {
		t.Fatal(err)
	}
	for _, uri := range []string{"", "spiffe://x/worker/w1", "ddpm://" + ca.Cluster() + "/boss/w1", "ddpm://" + ca.Cluster() + "/worker/w1?x=y", "ddpm://" + ca.Cluster() + "/worker/W 1"} {
		der, err := ca.issue(key.Public(), Leaf{Role: Worker, Name: "w1", Life: time.Hour}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		c.URIs = nil
		if uri != "" {
			u, err := url.Parse(uri)
			if err != nil {
				t.Fatal(err)
			}
			c.URIs = []*url.URL{u}
		}
		if id, err := IdentityOf(c); err == nil {
			t.Errorf("%q is %v", uri, id)
		}
	}
}

func TestSign(t *testing.T) {
	t.Parallel()
	ca := newCA(t)
	request := func(key any, err error) []byte {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: []string{"coordinator"}}, key)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	good := request(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	forged := append([]byte(nil), good...)
	forged[len(forged)-1] ^= 1
	for _, v := range []struct {
		name string
		csr  []byte
		want string
	}{
		{"P-256", good, ""},
		{"Ed25519", request(ed, err), ""},
		{"P-384", request(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)), "P-384"},
		{"RSA", request(rsa.GenerateKey(rand.Reader, 1024)), "RSA"},
		{"not its own key's", forged, "not signed by its own key"},
		{"nothing", nil, "malformed"},
		{"too long", make([]byte, MaxRequest+1), "are enough"},
	} {
		der, err := ca.Sign(v.csr, Leaf{Role: Worker, Name: "w1", Token: "abc", Life: time.Hour}, time.Now())
		if v.want != "" {
			if err == nil || !strings.Contains(err.Error(), v.want) {
				t.Errorf("%s: %v, want %q", v.name, err, v.want)
			}
			continue
		}
		if err != nil {
			t.Fatalf("%s: %v", v.name, err)
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		id, err := IdentityOf(c)
		if want := (Identity{ca.Cluster(), Worker, "w1", "abc"}); err != nil || id != want || len(c.DNSNames) > 0 {
			t.Errorf("%s: %+v for %v, %v", v.name, id, c.DNSNames, err)
		}
	}
}

// Many processes that begin in one folder get one authority, which is private.
func TestOpenCAOnce(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data", "pki")
	hashes := make([]string, 16)
	var all sync.WaitGroup
	for i := range hashes {
		all.Go(func() {
			if ca, err := OpenCA(dir, time.Now()); err != nil {
				t.Error(err)
			} else {
				hashes[i] = ca.Hash()
			}
		})
	}
	all.Wait()
	for _, h := range hashes {
		if !ValidHash(h) || h != hashes[0] {
			t.Errorf("%q beside %q", h, hashes[0])
		}
	}
	for _, name := range []string{CertFile, KeyFile} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
	if left, err := os.ReadDir(filepath.Dir(dir)); err != nil || len(left) != 1 {
		t.Errorf("beside it: %v, %v", left, err)
	}
	if err := os.Chmod(filepath.Join(dir, KeyFile), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenCA(dir, time.Now()); err == nil || !strings.Contains(err.Error(), "0600") {
		t.Errorf("a key that everybody reads: %v", err)
	}
}

// Connections that are made after a renewal show the new certificate.
func TestRenewal(t *testing.T) {
	t.Parallel()
	ca := newCA(t)
	server := issue(t, ca, Coordinator, "c").Server(false, Worker)
	due, err := ca.Issue(Leaf{Role: Worker, Name: "w1", Life: time.Hour}, time.Now().Add(-50*time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	source := NewSource(due)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var tries int
	var told []error
	done := make(chan struct{})
	go func() {
		defer close(done)
		source.Keep(ctx, func(context.Context) (*Credential, error) {
			tries++
			if tries == 1 {
				return nil, errors.New("no luck")
			}
			if tries == 2 {
				return ca.Issue(Leaf{Role: Worker, Name: "w1", Life: time.Hour}, time.Now())
			}
			t.Error("a renewal that is not due")
			return nil, io.EOF
		}, func(err error) { told = append(told, err) })
	}()
	for source.Current() == due {
		time.Sleep(time.Millisecond)
	}
	cancel()
	<-done
	if len(told) != 1 || told[0].Error() != "no luck" {
		t.Errorf("told: %v", told)
	}
	state, _, _ := handshake(t, server, source.Client(Coordinator, ""))
	if !state.PeerCertificates[0].NotAfter.After(due.Expires()) {
		t.Error("the old certificate is shown")
	}
	other, err := ca.Issue(Leaf{Role: Admin, Name: "w1", Life: time.Hour}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if source.Set(other) == nil {
		t.Error("somebody else's certificate is taken")
	}
}

// A machine that was suspended past the time renews soon after it goes on: its timers have
// stood still, its clock has not.
func TestRenewalAfterSuspend(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ca := newCA(t)
		var suspended atomic.Int64
		now := func() time.Time { return time.Now().Add(time.Duration(suspended.Load())) }
		fresh := func() (*Credential, error) {
			return ca.Issue(Leaf{Role: Worker, Name: "w1", Life: 24 * time.Hour}, now())
		}
		first, err := fresh()
		if err != nil {
			t.Fatal(err)
		}
		source := NewSource(first)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go source.keep(ctx, func(context.Context) (*Credential, error) { return fresh() }, func(err error) { t.Error(err) }, now)
		time.Sleep(10 * time.Hour)
		if source.Current() != first {
			t.Error("a renewal that is not due")
		}
		suspended.Store(int64(8 * time.Hour))
		time.Sleep(2 * nap)
		if source.Current() == first {
			t.Errorf("%v after the time it is not renewed", now().Sub(first.RenewAt()))
		}
		cancel()
		synctest.Wait()
	})
}

func TestPEM(t *testing.T) {
	t.Parallel()
	want := issue(t, newCA(t), Admin, "a").Current()
	authority, leaf, key, err := want.PEM()
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParsePEM(authority, leaf, key)
	if err != nil || got.Identity() != want.Identity() || got.Hash() != want.Hash() || !got.Expires().Equal(want.Expires()) {
		t.Errorf("%+v, %v", got, err)
	}
	otherAuthority, _, otherKey, err := issue(t, newCA(t), Admin, "a").Current().PEM()
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range [][3][]byte{{otherAuthority, leaf, key}, {authority, leaf, otherKey}, {leaf, leaf, key}, {nil, leaf, key}, {authority, nil, key}, {authority, leaf, nil}} {
		if _, err := ParsePEM(v[0], v[1], v[2]); err == nil {
			t.Errorf("taken: %q", v)
		}
	}
}

func TestValidHash(t *testing.T) {
	t.Parallel()
	good := "sha256:" + strings.Repeat("0a", 32)
	for s, want := range map[string]bool{good: true, "": false, good[1:]: false, good + "0": false, strings.ReplaceAll(good, "a", "x"): false} {
		if ValidHash(s) != want {
			t.Errorf("%q: %v", s, !want)
		}
	}
}
