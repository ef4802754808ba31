package membership

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"github.com/spf13/pflag"

	"github.com/ddpm-cluster/ddpm-cluster/internal/pki"
	"github.com/ddpm-cluster/ddpm-cluster/internal/token"
)

// The environment variables that stand for flags which are not given.
const (
	TokenVariable  = "DDPM_TOKEN"
	CAHashVariable = "DDPM_CA_HASH"
)

// maxTokenFile bounds what is read of a token file.
const maxTokenFile = 1 << 10

// Settings are how a worker is let in.
type Settings struct {
	// Insecure is without TLS, on loopback addresses alone.
	Insecure bool
	// Token is ID.SECRET; TokenFile is read for it.
	Token, TokenFile string
	// CAHash is the hash of the authority's key; see pki.CA.Hash. CACert is a file
	// with the authority's certificate, which the hash can be read from.
	CAHash, CACert string
}

// Flags declares the settings' flags.
func (s *Settings) Flags(fs *pflag.FlagSet) {
	fs.StringVar(&s.Token, "token", "", "the token that lets this worker in, `ID.SECRET` (or by "+TokenVariable+", which other users of this machine don't see)")
	fs.StringVar(&s.TokenFile, "token-file", "", "a `FILE` with the token")
	fs.StringVar(&s.CAHash, "ca-hash", "", "`sha256:HEX` of the cluster's certificate authority (or by "+CAHashVariable+")")
	fs.StringVar(&s.CACert, "ca-cert", "", "PEM file with the cluster's certificate authority, in the place of --ca-hash")
	fs.BoolVar(&s.Insecure, "insecure", false, "without TLS and token; for a coordinator on this machine that is --insecure too")
}

// Resolve fills in what is not given from the file and the environment, and checks
// everything for joining at the addresses.
func (s *Settings) Resolve(getenv func(string) string, hosts ...string) error {
	if s.Insecure {
		return s.checkInsecure(hosts)
	}
	from := "--token"
	switch {
	case s.Token != "" && s.TokenFile != "":
		return errors.New("--token and --token-file: give one of them")
	case s.TokenFile != "":
		text, err := readToken(s.TokenFile)
		if err != nil {
			return fmt.Errorf("--token-file: %w", err)
		}
		s.Token, from = text, "--token-file "+s.TokenFile
	case s.Token == "":
		from = "$" + TokenVariable
		s.Token = strings.TrimSpace(getenv(TokenVariable))
	}
	if err := s.resolveAuthority(getenv); err != nil {
		return err
	}
	if s.Token == "" {
		return errors.New("--token is missing; take the join command from the coordinator, or ask for a token (ddpmctl token create)")
	}
	if _, err := token.Parse(s.Token); err != nil {
		return fmt.Errorf("%s: %w", from, err)
	}
	if s.CAHash == "" {
		return errors.New("--ca-hash is missing; the coordinator prints it in the join command, and this worker knows the coordinator by it")
	}
	if !pki.ValidHash(s.CAHash) {
		return fmt.Errorf("--ca-hash %q is not sha256: and 64 hex digits", s.CAHash)
	}
	return nil
}

// resolveAuthority finds the authority's hash by whichever way it is given.
func (s *Settings) resolveAuthority(getenv func(string) string) (err error) {
	switch {
	case s.CACert != "" && s.CAHash != "":
		return errors.New("--ca-hash and --ca-cert: give one of them")
	case s.CACert != "":
		if s.CAHash, err = pki.HashOfFile(s.CACert); err != nil {
			return fmt.Errorf("--ca-cert: %w", err)
		}
	case s.CAHash == "":
		s.CAHash = strings.TrimSpace(getenv(CAHashVariable))
	}
	return nil
}

func (s *Settings) checkInsecure(hosts []string) error {
	if s.Token != "" || s.TokenFile != "" || s.CAHash != "" || s.CACert != "" {
		return errors.New("--insecure is without --token, --token-file, --ca-hash and --ca-cert")
	}
	for _, h := range hosts {
		if !Loopback(h) {
			return fmt.Errorf("--insecure is for addresses of this machine alone (127.0.0.1, ::1, localhost), and %s is none; join by --token and --ca-hash", h)
		}
	}
	return nil
}

// Loopback says that a host, or HOST:PORT, can only be this machine.
func Loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = address
	}
	return host == "localhost" || net.ParseIP(host).IsLoopback()
}

func readToken(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if info.Size() > maxTokenFile {
		return "", fmt.Errorf("%s has %d bytes, which is no token", path, info.Size())
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	if len(strings.TrimSpace(string(text))) == 0 {
		return "", fmt.Errorf("%s is empty", path)
	}
	return strings.TrimSpace(string(text)), nil
}
