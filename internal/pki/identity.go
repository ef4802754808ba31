package pki

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
)

// Role is what a certificate lets its holder do.
type Role string

// The roles.
const (
	Coordinator Role = "coordinator"
	Worker      Role = "worker"
	Admin       Role = "admin"
)

// Identity is who a certificate's holder is.
type Identity struct {
	// Cluster is that of the authority; see CA.Cluster.
	Cluster string
	Role    Role
	// Name tells holders of a role apart; for a worker it is the coordinator's
	// name for it.
	Name string
	// Token is the id of the token that the certificate was given for, "" where
	// there was none.
	Token string
}

const scheme = "ddpm"

var (
	validName  = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$`)
	errNoPeer  = errors.New("the other end shows no certificate")
	errForeign = errors.New("the certificate does not say who its holder is in a cluster")
)

// String is the identity as a URI.
func (i Identity) String() string { return i.uri().String() }

func (i Identity) uri() *url.URL {
	return &url.URL{Scheme: scheme, Host: i.Cluster, Path: "/" + string(i.Role) + "/" + i.Name}
}

func (i Identity) validate() error {
	switch {
	case i.Role != Coordinator && i.Role != Worker && i.Role != Admin:
		return fmt.Errorf("role %q is none of coordinator, worker and admin", i.Role)
	case !validName.MatchString(i.Name):
		return fmt.Errorf("name %q has something else than 1 to 63 small letters, digits, dots and hyphens", i.Name)
	case i.Token != "" && !validName.MatchString(i.Token):
		return fmt.Errorf("token id %q has something else than small letters and digits", i.Token)
	}
	return nil
}

// IdentityOf reads a certificate's identity. It does not verify the certificate.
func IdentityOf(c *x509.Certificate) (Identity, error) {
	if len(c.URIs) != 1 || c.URIs[0].Scheme != scheme {
		return Identity{}, errForeign
	}
	u := c.URIs[0]
	role, name, _ := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/")
	id := Identity{Cluster: u.Host, Role: Role(role), Name: name}
	if units := c.Subject.OrganizationalUnit; len(units) == 1 {
		id.Token = strings.TrimPrefix(units[0], tokenUnit)
	}
	if err := id.validate(); err != nil || u.String() != id.String() {
		return Identity{}, fmt.Errorf("%w: %s", errForeign, u)
	}
	return id, nil
}

// PeerOf gives the identity at the other end of a connection that verified it.
func PeerOf(s tls.ConnectionState) (Identity, error) {
	if len(s.VerifiedChains) == 0 {
		return Identity{}, errNoPeer
	}
	return IdentityOf(s.VerifiedChains[0][0])
}

// expect refuses a holder that is not of the cluster, has none of the roles or, if
// name is not empty, another name.
func expect(c *x509.Certificate, cluster, name string, roles ...Role) error {
	id, err := IdentityOf(c)
	if err != nil {
		return err
	}
	if id.Cluster != cluster {
		return fmt.Errorf("the certificate of %s is another cluster's", id)
	}
	for _, r := range roles {
		if id.Role == r && (name == "" || id.Name == name) {
			return nil
		}
	}
	want := make([]string, len(roles))
	for i, r := range roles {
		want[i] = string(r)
		if name != "" {
			want[i] += "/" + name
		}
	}
	return fmt.Errorf("the certificate is that of %s, and %s is asked for", id, strings.Join(want, " or "))
}
