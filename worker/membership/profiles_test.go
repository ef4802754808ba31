package membership

import (
	"crypto/tls"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/ddpm-cluster/ddpm-cluster/internal/pki"
)

// A port for administrators takes nobody else: not another worker, not one without a
// certificate.
func TestProfilesTakeAdministrators(t *testing.T) {
	t.Parallel()
	ca, err := pki.NewCA(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	issue := func(role pki.Role, name string) *pki.Source {
		c, err := ca.Issue(pki.Leaf{Role: role, Name: name, Life: time.Hour}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		return pki.NewSource(c)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := newMember(issue(pki.Worker, "w-1")).Profiles(l)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := served.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write([]byte("x")) // after the handshake, or not at all
			_ = c.Close()
		}
	}()
	nobody := issue(pki.Admin, "a").Client(pki.Worker, "w-1")
	nobody.GetClientCertificate = nil
	for name, v := range map[string]struct {
		tls *tls.Config
		in  bool
	}{
		"an administrator": {issue(pki.Admin, "a").Client(pki.Worker, "w-1"), true},
		"another worker":   {issue(pki.Worker, "w-2").Client(pki.Worker, "w-1"), false},
		"nobody":           {nobody, false},
	} {
		c, err := tls.Dial("tcp", l.Addr().String(), v.tls)
		if err == nil {
			_, rerr := c.Read(make([]byte, 1))
			err = errors.Join(rerr, c.Close())
		}
		if (err == nil) != v.in {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := served.Close(); err != nil {
		t.Error(err)
	}
	<-done
}
