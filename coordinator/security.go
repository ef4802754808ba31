package coordinator

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/ddpm-cluster/ddpm-cluster/coordinator/access"
	"github.com/ddpm-cluster/ddpm-cluster/coordinator/config"
	"github.com/ddpm-cluster/ddpm-cluster/coordinator/registry"
	"github.com/ddpm-cluster/ddpm-cluster/coordinator/report"
	"github.com/ddpm-cluster/ddpm-cluster/internal/pki"
)

// The names in the data dir, beside those of etcd and of the Store.
const (
	pkiDir    = "pki"
	tokenFile = "token"
	adminFile = "admin.conf"
)

const (
	// selfLife is how long the coordinator's own certificate is valid, adminLife an
	// administrator's; both are made anew at each start, and the first is renewed.
	selfLife  = 7 * 24 * time.Hour
	adminLife = 365 * 24 * time.Hour
)

// security is how the coordinator knows others, and others it. Its methods may be
// called on nil, which is --insecure.
type security struct {
	door *access.Door
	ca   *pki.CA
	self *pki.Source
	// leaf is what the coordinator's own certificate says.
	leaf pki.Leaf
	// caFile has the authority's certificate, "" where it is made in the data dir.
	caFile string
	// adminPath is the administrator's file, address where it says that the coordinator is.
	adminPath, address string
	log                *slog.Logger
	token              string
	// tokenPath is where the token is for those who can't read the terminal.
	tokenPath string
	cancel    context.CancelFunc
	keeping   sync.WaitGroup
}

// openSecurity makes what is missing in the data dir, and opens the door.
func (s *start) openSecurity(ctx context.Context, etcd *registry.Etcd, listener net.Listener) error {
	c := s.config.Security
	if c.Insecure {
		return nil
	}
	// With an authority and an etcd of their own elsewhere, nothing has made it yet.
	if err := os.MkdirAll(s.config.DataDir, 0o700); err != nil {
		return fmt.Errorf("--data-dir: %w", err)
	}
	ca, err := openCA(s.config)
	if err != nil {
		return err
	}
	self := pki.Leaf{
		Role: pki.Coordinator, Name: "coordinator", Life: selfLife,
		Hosts: append(hosts(listener), c.Names...),
	}
	credential, err := ca.Issue(self, time.Now())
	if err != nil {
		return err
	}
	e := &security{
		ca: ca, self: pki.NewSource(credential), leaf: self, caFile: c.CACert, tokenPath: c.TokenFile,
		adminPath: filepath.Join(s.config.DataDir, adminFile), address: joinAddress(listener), log: s.log,
	}
	e.door = access.New(access.Config{CA: ca, Self: e.self, Tokens: etcd.Tokens(ca.Cluster()), Look: s.options.limits.look, Log: s.log})
	if c.TokenFile != "" {
		e.token, err = e.door.GivenToken(ctx, c.TokenFile)
	} else {
		e.tokenPath = filepath.Join(s.config.DataDir, tokenFile)
		e.token, err = e.door.DefaultToken(ctx, e.tokenPath)
	}
	if err != nil {
		return err
	}
	if err := e.writeAdmin(); err != nil {
		return err
	}
	ctx, e.cancel = context.WithCancel(context.WithoutCancel(ctx))
	e.keeping.Go(func() {
		e.self.Keep(ctx, e.renew, func(err error) { s.log.Warn("can't renew the coordinator's certificate", "err", err) })
	})
	if c.TokenFile == "" {
		e.keeping.Go(func() { e.door.KeepDefaultToken(ctx, e.tokenPath, e.token) })
	}
	s.security = e
	return nil
}

// writeAdmin makes an administrator's certificate.
func (e *security) writeAdmin() error {
	admin, err := e.ca.Issue(pki.Leaf{Role: pki.Admin, Name: "admin", Life: adminLife}, time.Now())
	if err == nil {
		err = access.WriteAdmin(e.adminPath, e.address, admin)
	}
	if err != nil {
		return fmt.Errorf("the administrator's certificate: %w", err)
	}
	return nil
}

// renew makes the coordinator's own certificate anew, of the authority as its file has it
// then. An authority that can't be taken is no reason to be without a certificate.
func (e *security) renew(context.Context) (*pki.Credential, error) {
	if e.caFile != "" {
		switch changed, err := e.ca.Reload(e.caFile, time.Now()); {
		case err != nil:
			e.log.Warn("can't take the authority's certificate anew", "err", err)
		case changed:
			e.log.Info("the authority's certificate is renewed", "file", e.caFile, "expires", e.ca.Certificate().NotAfter)
			// The administrator's of before ends with the authority's of before.
			if err := e.writeAdmin(); err != nil {
				e.log.Warn("can't renew "+adminFile, "err", err)
			}
		}
	}
	return e.ca.Issue(e.leaf, time.Now())
}

func openCA(c *config.Config) (*pki.CA, error) {
	if c.Security.CACert != "" {
		return pki.LoadCA(c.Security.CACert, c.Security.CAKey)
	}
	return pki.OpenCA(filepath.Join(c.DataDir, pkiDir), time.Now())
}

func (e *security) close() {
	if e != nil {
		e.cancel()
		e.keeping.Wait()
	}
}

// options are for the workers' server.
func (e *security) options() []grpc.ServerOption {
	if e == nil {
		return nil
	}
	return e.door.Options()
}

// register adds the services that certificates and tokens need.
func (e *security) register(g *grpc.Server) {
	if e != nil {
		e.door.Register(g)
	}
}

// guard is a listener whose connections are members'.
func (e *security) guard(l net.Listener) net.Listener {
	if e == nil {
		return l
	}
	return e.door.Guard(l)
}

// web is TLS for the HTTP port where others than this machine reach it. Who shows
// an administrator's certificate sees all, and health is for everybody.
func (e *security) web(l net.Listener) (secured net.Listener, scheme string) {
	if e == nil || config.Loopback(l.Addr().String()) {
		return l, "http"
	}
	c := e.self.Server(true, pki.Admin)
	c.NextProtos = []string{"http/1.1"}
	return tls.NewListener(l, c), "https"
}

// profiles is TLS for the port of --pprof: an administrator's certificate and no other
// lets in, on this machine too.
func (e *security) profiles(l net.Listener) net.Listener {
	if e == nil { // --insecure, and so a loopback address
		return l
	}
	return tls.NewListener(l, e.self.Server(false, pki.Admin))
}

// counts are what has happened at the door; nil where there is none.
func (e *security) counts() *report.Access {
	if e == nil {
		return nil
	}
	c := report.Access(e.door.Counts())
	return &c
}

// joinFlags are those of the join command. The secret itself is for a terminal
// alone: what goes to a file or a log collector names the file that holds it.
func (e *security) joinFlags(terminal bool) string {
	switch {
	case e == nil:
		return "--insecure"
	case terminal:
		return fmt.Sprintf("--token %s --ca-hash %s", e.token, e.ca.Hash())
	}
	return fmt.Sprintf("--token-file %s --ca-hash %s", e.tokenPath, e.ca.Hash())
}

// localAccess is what lets a child in: flags, and environment for what other users
// of the machine must not see.
type localAccess struct{ flags, env []string }

// local lets in the workers that the coordinator starts itself.
func (e *security) local() localAccess {
	if e == nil {
		return localAccess{flags: []string{"--insecure"}}
	}
	return localAccess{env: []string{"DDPM_TOKEN=" + e.door.LocalToken(), "DDPM_CA_HASH=" + e.ca.Hash()}}
}

// hosts are the listener's addresses, and this machine's names where it listens on
// all of them.
func hosts(l net.Listener) []string {
	address, ok := l.Addr().(*net.TCPAddr)
	if !ok {
		return nil
	}
	if !address.IP.IsUnspecified() {
		return []string{address.IP.String(), "localhost"}
	}
	all := []string{"localhost", hostname()}
	interfaces, err := net.InterfaceAddrs()
	if err != nil {
		interfaces = nil
	}
	for _, a := range interfaces {
		if n, ok := a.(*net.IPNet); ok && !n.IP.IsLinkLocalUnicast() {
			all = append(all, n.IP.String())
		}
	}
	return all
}

// certified is the name in a worker's certificate, "" without TLS.
func certified(ctx context.Context) string {
	if id, err := pki.PeerFrom(ctx); err == nil {
		return id.Name
	}
	return ""
}

// etcdTLS is TLS for an external etcd. The certificate's files are read at each
// handshake, so that it can be renewed by replacing them.
func etcdTLS(c config.Security) (*tls.Config, error) {
	if c.EtcdCACert == "" && c.EtcdCert == "" {
		return nil, nil
	}
	t := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.EtcdCACert != "" {
		text, err := os.ReadFile(c.EtcdCACert)
		if err != nil {
			return nil, fmt.Errorf("--etcd-cacert: %w", err)
		}
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("--etcd-cacert: there is no PEM certificate in %s", c.EtcdCACert)
		}
	}
	if c.EtcdCert != "" {
		load := func() (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(c.EtcdCert, c.EtcdKey)
			return &pair, err
		}
		if _, err := load(); err != nil {
			return nil, fmt.Errorf("--etcd-cert, --etcd-key: %w", err)
		}
		t.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return load() }
	}
	return t, nil
}
