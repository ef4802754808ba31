package coordinator

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/server/v3/embed"

	"github.com/ddpm-cluster/ddpm-cluster/coordinator/access"
	"github.com/ddpm-cluster/ddpm-cluster/coordinator/config"
	"github.com/ddpm-cluster/ddpm-cluster/coordinator/registry"
	"github.com/ddpm-cluster/ddpm-cluster/coordinator/web"
	"github.com/ddpm-cluster/ddpm-cluster/internal/pki"
	"github.com/ddpm-cluster/ddpm-cluster/internal/profiling"
)

// secured is a start whose security is open.
func secured(t *testing.T, dir string, args ...string) *start {
	t.Helper()
	return securedWithin(t, limits{}, dir, args...)
}

func securedWithin(t *testing.T, l limits, dir string, args ...string) *start {
	t.Helper()
	etcd, err := registry.Embed(t.Context(), filepath.Join(dir, "etcd"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &start{
		options: Options{limits: l},
		config:  settings(t, append([]string{"--data-dir", dir}, args...)...),
		log:     slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
	err = s.openSecurity(t.Context(), etcd, listener)
	t.Cleanup(func() {
		s.security.close()
		_ = listener.Close()
		if err := etcd.Close(); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// What a coordinator makes stays, private, from one start to the next.
func TestSecurityStays(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var hash, token string
	for range 2 {
		t.Run("start", func(t *testing.T) {
			e := secured(t, dir).security
			if hash == "" {
				hash, token = e.ca.Hash(), e.token
			}
			if e.ca.Hash() != hash || e.token != token {
				t.Error("the authority or the token is another after a restart")
			}
			if f := e.joinFlags(false); strings.Contains(f, token) || !strings.Contains(f, hash) {
				t.Errorf("for a log: %s", f)
			}
			if f := e.joinFlags(true); !strings.Contains(f, token) {
				t.Errorf("for a terminal: %s", f)
			}
			for _, name := range []string{tokenFile, adminFile, filepath.Join(pkiDir, pki.KeyFile)} {
				if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != 0o600 {
					t.Errorf("%s: %v, %v", name, info, err)
				}
			}
			if a, err := access.ReadAdmin(filepath.Join(dir, adminFile)); err != nil || a.Credential.Current().Hash() != hash {
				t.Errorf("%v, %v", a, err)
			}
		})
	}
	// A mounted authority is used as it is.
	other := secured(t, t.TempDir(), "--ca-cert", filepath.Join(dir, pkiDir, pki.CertFile), "--ca-key", filepath.Join(dir, pkiDir, pki.KeyFile))
	if other.security.ca.Hash() != hash {
		t.Error("the mounted authority is not used")
	}
}

// An authority whose certificate is renewed is taken with the coordinator's own next one,
// for the administrator too; another authority is not, and the coordinator goes on.
func TestAuthorityIsRenewed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert, keyFile := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	write := func(key *ecdsa.PrivateKey, life time.Duration) {
		t.Helper()
		template := &x509.Certificate{
			SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ours"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(life),
			IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		}
		der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		text, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: text}} {
			if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	write(key, 24*time.Hour)
	s := secured(t, dir, "--ca-cert", cert, "--ca-key", keyFile)
	renewed := func() time.Time {
		t.Helper()
		c, err := s.security.renew(t.Context())
		if err == nil {
			err = s.security.self.Set(c)
		}
		if err != nil {
			t.Fatal(err)
		}
		return c.Expires()
	}
	before := renewed()
	write(key, 48*time.Hour)
	after := renewed()
	if !after.After(before) {
		t.Errorf("the certificate is still one of the authority's old one: %v after %v", after, before)
	}
	if a, err := access.ReadAdmin(filepath.Join(dir, adminFile)); err != nil || !a.Credential.Current().Expires().After(before) {
		t.Errorf("the administrator's ends with the authority's old one: %v", err)
	}
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	hash := s.security.ca.Hash()
	write(other, 96*time.Hour)
	if again := renewed(); again.After(after) || s.security.ca.Hash() != hash {
		t.Error("another authority is taken")
	}
}

// The file of the token for workers has one for as long as the coordinator runs.
func TestTokenFileIsKept(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	securedWithin(t, limits{look: time.Millisecond}, dir)
	path := filepath.Join(dir, tokenFile)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(wait); ; time.Sleep(time.Millisecond) {
		if _, err := os.Stat(path); err == nil {
			break
		} else if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// Where others reach the HTTP port, the status is for administrators and health
// for everybody.
func TestHTTPOverTLS(t *testing.T) {
	t.Parallel()
	s := secured(t, t.TempDir())
	l, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	secure, scheme := s.security.web(l)
	if scheme != "https" {
		t.Fatalf("the scheme is %s", scheme)
	}
	defer web.Serve(secure, slog.New(slog.DiscardHandler), nil, looks{view: newView("tiny", 0, 1, nil, 1, s.security.counts), run: "tiny"}, nil)()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	admin, err := s.security.ca.Issue(pki.Leaf{Role: pki.Admin, Name: "a", Life: time.Hour}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	worker, err := s.security.ca.Issue(pki.Leaf{Role: pki.Worker, Name: "w-1", Life: time.Hour}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []struct {
		name, path string
		tls        *tls.Config
		want       int // 0: no answer
	}{
		{"nobody", "healthz", pki.Introduction(s.security.ca.Hash()), 200},
		{"nobody", "api/status", pki.Introduction(s.security.ca.Hash()), 401},
		{"an administrator", "api/status", pki.NewSource(admin).Client(pki.Coordinator, ""), 200},
		{"a worker", "api/status", pki.NewSource(worker).Client(pki.Coordinator, ""), 0},
	} {
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: v.tls}, Timeout: wait}
		r, err := client.Get("https://127.0.0.1:" + port + "/" + v.path)
		got := 0
		if err == nil {
			got = r.StatusCode
			text, _ := io.ReadAll(r.Body)
			if got == 200 && v.path == "api/status" && (!strings.Contains(string(text), `"run":"tiny"`) || !strings.Contains(string(text), `"access":{"joined":0`)) {
				t.Errorf("the status is %s", text)
			}
			_ = r.Body.Close()
		}
		if got != v.want {
			t.Errorf("%s asks for %s: %d, %v, want %d", v.name, v.path, got, err, v.want)
		}
		client.CloseIdleConnections()
	}
	if r, err := http.Get("http://127.0.0.1:" + port + "/healthz"); err == nil {
		_ = r.Body.Close()
		if r.StatusCode == 200 {
			t.Error("it answers without TLS")
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

// Profiles are for administrators alone, on this machine too.
func TestProfilesAreForAdministrators(t *testing.T) {
	t.Parallel()
	s := secured(t, t.TempDir())
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer profiling.Serve(s.security.profiles(l))()
	issue := func(role pki.Role) *tls.Config {
		c, err := s.security.ca.Issue(pki.Leaf{Role: role, Name: "x", Life: time.Hour}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		return pki.NewSource(c).Client(pki.Coordinator, "")
	}
	for name, v := range map[string]struct {
		tls  *tls.Config
		want int // 0: no answer
	}{
		"nobody": {pki.Introduction(s.security.ca.Hash()), 0}, "a worker": {issue(pki.Worker), 0}, "an administrator": {issue(pki.Admin), 200},
	} {
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: v.tls}, Timeout: wait}
		r, err := client.Get("https://" + l.Addr().String() + "/debug/pprof/heap?debug=1")
		got := 0
		if err == nil {
			got = r.StatusCode
			_ = r.Body.Close()
		}
		if got != v.want {
			t.Errorf("%s: %d, %v, want %d", name, got, err, v.want)
		}
		client.CloseIdleConnections()
	}
}

// An etcd that asks for certificates gets them, and is asked for its own.
func TestEtcdOverTLS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ca, err := pki.OpenCA(filepath.Join(dir, "ca"), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	caFile := filepath.Join(dir, "ca", pki.CertFile)
	files := func(name string) (cert, key string) {
		c, err := ca.Issue(pki.Leaf{Role: pki.Coordinator, Name: name, Hosts: []string{"127.0.0.1"}, Life: time.Hour}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		_, certText, keyText, err := c.PEM()
		if err != nil {
			t.Fatal(err)
		}
		cert, key = filepath.Join(dir, name+".crt"), filepath.Join(dir, name+".key")
		for path, text := range map[string][]byte{cert: certText, key: keyText} {
			if err := pki.WritePrivate(path, text); err != nil {
				t.Fatal(err)
			}
		}
		return cert, key
	}
	serverCert, serverKey := files("etcd")
	cert, key := files("us")
	c := embed.NewConfig()
	c.Dir = filepath.Join(dir, "etcd")
	c.LogLevel, c.LogOutputs = "fatal", []string{filepath.Join(dir, "log")}
	u := url.URL{Scheme: "https", Host: "127.0.0.1:0"}
	c.ListenClientUrls, c.AdvertiseClientUrls = []url.URL{u}, []url.URL{u}
	c.ListenPeerUrls, c.AdvertisePeerUrls = nil, []url.URL{u}
	c.InitialCluster = c.InitialClusterFromName(c.Name)
	c.ClientTLSInfo.CertFile, c.ClientTLSInfo.KeyFile = serverCert, serverKey
	c.ClientTLSInfo.TrustedCAFile, c.ClientTLSInfo.ClientCertAuth = caFile, true
	server, err := embed.StartEtcd(c)
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	<-server.Server.ReadyNotify()
	endpoint := "https://" + server.Clients[0].Addr().String()
	for _, v := range []struct {
		name     string
		security config.Security
		good     bool
	}{
		{"with all", config.Security{EtcdCACert: caFile, EtcdCert: cert, EtcdKey: key}, true},
		{"without a certificate", config.Security{EtcdCACert: caFile}, false},
		{"without the authority", config.Security{EtcdCert: cert, EtcdKey: key}, false},
	} {
		secure, err := etcdTLS(v.security)
		if err != nil {
			t.Fatal(err)
		}
		e, err := registry.Dial(t.Context(), []string{endpoint}, secure)
		if err == nil {
			err = e.Close()
		}
		if v.good != (err == nil) {
			t.Errorf("%s: %v", v.name, err)
		}
	}
	for want, s := range map[string]config.Security{
		"--etcd-cacert": {EtcdCACert: key}, "--etcd-cert": {EtcdCert: cert, EtcdKey: cert}, "no such file": {EtcdCACert: filepath.Join(dir, "none")},
	} {
		if _, err := etcdTLS(s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
