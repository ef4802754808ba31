package pki

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// The files of an authority's folder.
const (
	CertFile = "ca.crt"
	KeyFile  = "ca.key"
)

const (
	pemCertificate = "CERTIFICATE"
	pemKey         = "PRIVATE KEY"
)

// OpenCA loads the authority in a folder, and makes one where there is no folder.
// Of several processes that do so at the same time, all get the same.
func OpenCA(dir string, now time.Time) (*CA, error) {
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		if err := makeCA(dir, now); err != nil {
			return nil, fmt.Errorf("make a certificate authority in %s: %w", dir, err)
		}
	}
	return LoadCA(filepath.Join(dir, CertFile), filepath.Join(dir, KeyFile))
}

// makeCA writes both files aside and lets the folder appear at once: there is
// never half an authority.
func makeCA(dir string, now time.Time) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return err
	}
	aside, err := os.MkdirTemp(filepath.Dir(dir), ".pki-") // 0700
	if err != nil {
		return err
	}
	defer os.RemoveAll(aside)
	ca, err := NewCA(now)
	if err != nil {
		return err
	}
	certificate, key, err := ca.PEM()
	if err != nil {
		return err
	}
	if err := WritePrivate(filepath.Join(aside, KeyFile), key); err != nil {
		return err
	}
	if err := WritePrivate(filepath.Join(aside, CertFile), certificate); err != nil {
		return err
	}
	if err := os.Rename(aside, dir); err != nil && !errors.Is(err, fs.ErrExist) {
		if _, there := os.Stat(filepath.Join(dir, KeyFile)); there != nil {
			return err
		}
	}
	return nil // who was first, if it was somebody else, has made the authority
}

// maxCertificate bounds what is read of a certificate's file.
const maxCertificate = 64 << 10

// HashOfFile is CA.Hash of the authority whose certificate is the first in a PEM
// file. It needs no key.
func HashOfFile(certFile string) (string, error) {
	info, err := os.Stat(certFile)
	if err != nil {
		return "", err
	}
	if info.Size() > maxCertificate {
		return "", fmt.Errorf("%s has %d bytes, which is no certificate", certFile, info.Size())
	}
	text, err := os.ReadFile(certFile)
	if err != nil {
		return "", err
	}
	cert, err := decodeCertificate(text)
	if err == nil && !cert.IsCA {
		err = errors.New("the certificate is not an authority's (CA:TRUE is missing)")
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w", certFile, err)
	}
	return hashOf(cert), nil
}

// LoadCA reads an authority from two PEM files.
func LoadCA(certFile, keyFile string) (*CA, error) {
	ca, err := loadCA(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("certificate authority in %s and %s: %w", certFile, keyFile, err)
	}
	return ca, nil
}

func loadCA(certFile, keyFile string) (*CA, error) {
	info, err := os.Stat(keyFile)
	if err != nil {
		return nil, err
	}
	if mode := info.Mode().Perm(); mode&0o007 != 0 {
		return nil, fmt.Errorf("everybody on this machine has access to the key (mode %04o); chmod it to 0600", mode)
	}
	text, err := os.ReadFile(certFile)
	if err != nil {
		return nil, err
	}
	cert, err := decodeCertificate(text)
	if err != nil {
		return nil, err
	}
	if text, err = os.ReadFile(keyFile); err != nil {
		return nil, err
	}
	key, err := decodeKey(text)
	if err != nil {
		return nil, err
	}
	if !cert.IsCA {
		return nil, errors.New("the certificate is not an authority's (CA:TRUE is missing)")
	}
	if !samePublic(key.Public(), cert.PublicKey) {
		return nil, errors.New("the key is not the certificate's")
	}
	return caOf(cert, key), nil
}

// WritePrivate writes a file that only its owner reads. It appears whole, or not.
func WritePrivate(path string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".private-") // 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

func samePublic(a, b crypto.PublicKey) bool {
	k, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.Equal(b)
}

func encodeCertificate(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: pemCertificate, Bytes: der})
}

func encodeKey(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode a key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: pemKey, Bytes: der}), nil
}

func decodeCertificate(text []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != pemCertificate {
		return nil, errors.New("there is no PEM certificate")
	}
	return x509.ParseCertificate(block.Bytes)
}

// decodeKey reads a private key as openssl, cfssl and Kubernetes write it.
func decodeKey(text []byte) (crypto.Signer, error) {
	for {
		block, rest := pem.Decode(text)
		if block == nil {
			return nil, errors.New("there is no PEM private key")
		}
		text = rest
		var key any
		var err error
		switch block.Type {
		case pemKey:
			key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		case "EC PRIVATE KEY":
			key, err = x509.ParseECPrivateKey(block.Bytes)
		case "RSA PRIVATE KEY":
			key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
		default:
			continue // EC PARAMETERS and the like
		}
		if err != nil {
			return nil, fmt.Errorf("private key: %w", err)
		}
		signer, ok := key.(crypto.Signer)
		if !ok {
			return nil, fmt.Errorf("private key: a %T does not sign", key)
		}
		return signer, nil
	}
}
