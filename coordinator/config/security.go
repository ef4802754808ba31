package config

import (
	"errors"
	"fmt"
	"net"
)

// Security is how a coordinator knows others, and others it.
type Security struct {
	// Insecure is without TLS, on loopback addresses alone.
	Insecure bool
	// CACert and CAKey are the files of a certificate authority; "" makes one in the
	// data dir.
	CACert, CAKey string
	// TokenFile holds the token of the join command; "" makes one in the data dir.
	TokenFile string
	// Names are further hosts in the coordinator's certificate.
	Names []string
	// EtcdCACert, EtcdCert and EtcdKey are files for TLS to an external etcd.
	EtcdCACert, EtcdCert, EtcdKey string
}

func (c *Config) validateSecurity() error {
	s := &c.Security
	var errs []error
	if (s.CACert == "") != (s.CAKey == "") {
		errs = append(errs, errors.New("--ca-cert and --ca-key: give both, or none"))
	}
	if (s.EtcdCert == "") != (s.EtcdKey == "") {
		errs = append(errs, errors.New("--etcd-cert and --etcd-key: give both, or none"))
	}
	if len(c.Etcd) == 0 && (s.EtcdCACert != "" || s.EtcdCert != "") {
		errs = append(errs, errors.New("--etcd-cacert, --etcd-cert and --etcd-key are for --etcd"))
	}
	if s.Insecure {
		for flag, all := range map[string][]string{"listen": {c.Listen}, "http": c.HTTP, "metrics": {c.Metrics}, "pprof": {c.Pprof}} {
			for _, a := range all {
				if a != "" && !Loopback(a) {
					errs = append(errs, fmt.Errorf("--insecure is for addresses of this machine alone (127.0.0.1, ::1, localhost), and --%s %s is none; leave it out", flag, a))
				}
			}
		}
		if s.CACert != "" || s.TokenFile != "" || len(s.Names) > 0 {
			errs = append(errs, errors.New("--insecure is without --ca-cert, --ca-key, --join-token-file and --tls-name"))
		}
	}
	return errors.Join(errs...)
}

// Loopback says that HOST:PORT is an address that only this machine reaches.
func Loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	return err == nil && (host == "localhost" || net.ParseIP(host).IsLoopback())
}
