package access

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"

	"go.yaml.in/yaml/v3"

	"github.com/ddpm-cluster/ddpm-cluster/internal/pki"
)

// Admin is how an administrator reaches a coordinator: what admin.conf says.
type Admin struct {
	Server     string
	Credential *pki.Source
}

// adminFile is admin.conf, YAML in the manner of a kubeconfig.
type adminFile struct {
	Server    string `yaml:"server"`
	Authority string `yaml:"certificate-authority"`
	Leaf      string `yaml:"client-certificate"`
	Key       string `yaml:"client-key"`
}

// maxAdmin bounds what is read of an admin.conf.
const maxAdmin = 64 << 10

// WriteAdmin writes an admin.conf that only its owner reads.
func WriteAdmin(path, server string, c *pki.Credential) error {
	authority, leaf, key, err := c.PEM()
	if err != nil {
		return err
	}
	text, err := yaml.Marshal(adminFile{server, string(authority), string(leaf), string(key)})
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	head := "# Lets whoever reads it administrate the cluster: ddpmctl --config FILE.\n"
	return pki.WritePrivate(path, append([]byte(head), text...))
}

// ReadAdmin reads an admin.conf.
func ReadAdmin(path string) (*Admin, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is not there; the coordinator writes it to its data dir as admin.conf: copy it from there", path)
	}
	if err == nil && info.Size() > maxAdmin {
		err = fmt.Errorf("%s has %d bytes, which is no admin.conf", path, info.Size())
	}
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	a, err := parseAdmin(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return a, nil
}

func parseAdmin(text []byte) (*Admin, error) {
	var f adminFile
	if err := yaml.Unmarshal(text, &f); err != nil || f == (adminFile{}) {
		return nil, errors.New("it is no administrator's file; give the admin.conf that the coordinator writes to its data dir")
	}
	if _, _, err := net.SplitHostPort(f.Server); err != nil {
		return nil, fmt.Errorf("server %q is not HOST:PORT", f.Server)
	}
	c, err := pki.ParsePEM([]byte(f.Authority), []byte(f.Leaf), []byte(f.Key))
	if err != nil {
		return nil, err
	}
	if id := c.Identity(); id.Role != pki.Admin {
		return nil, fmt.Errorf("the certificate is that of %s, not of an administrator", id)
	}
	return &Admin{Server: f.Server, Credential: pki.NewSource(c)}, nil
}
