package main

import (
	"encoding/json"
	"fmt"
	"time"

	"google.golang.org/grpc/credentials"

	"github.com/ddpm-cluster/ddpm-cluster/allreduce"
	"github.com/ddpm-cluster/ddpm-cluster/internal/pki"
)

// ringCertificate is a member's, as PEM, on its way to its process.
type ringCertificate struct{ Authority, Leaf, Key []byte }

// certify gives every member a worker's certificate of an authority that ends with
// the benchmark.
func certify(members []*ringProcess) error {
	now := time.Now()
	ca, err := pki.NewCA(now)
	if err != nil {
		return fmt.Errorf("make an authority: %w", err)
	}
	for rank, m := range members {
		credential, err := ca.Issue(pki.Leaf{Role: pki.Worker, Name: fmt.Sprintf("member-%d", rank), Life: time.Hour}, now)
		if err != nil {
			return fmt.Errorf("certify member %d: %w", rank, err)
		}
		var c ringCertificate
		if c.Authority, c.Leaf, c.Key, err = credential.PEM(); err != nil {
			return fmt.Errorf("certify member %d: %w", rank, err)
		}
		if err := m.in.Encode(c); err != nil {
			return fmt.Errorf("write the certificate to member %d: %w", rank, err)
		}
	}
	return nil
}

// readCertificate reads what certify wrote.
func readCertificate(in *json.Decoder) (serving, dialing credentials.TransportCredentials, err error) {
	var c ringCertificate
	if err := in.Decode(&c); err != nil {
		return nil, nil, fmt.Errorf("read the certificate: %w", err)
	}
	credential, err := pki.ParsePEM(c.Authority, c.Leaf, c.Key)
	if err != nil {
		return nil, nil, err
	}
	source := pki.NewSource(credential)
	return credentials.NewTLS(source.Server(false, pki.Worker)), allreduce.Gathered(credentials.NewTLS(source.Client(pki.Worker, ""))), nil
}
