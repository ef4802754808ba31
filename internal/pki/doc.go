// Package pki is who is who in a cluster: its certificate authority, the
// certificates of the coordinator, of workers and of administrators, and TLS that
// asks for them.
//
// A certificate says who its holder is by one URI,
//
//	ddpm://<cluster>/<role>/<name>
//
// in the manner of SPIFFE. Whoever dials asks for a role, and for a name where it
// knows one, never for an address: addresses are translated and reused, and a name
// that resolves elsewhere must not turn a worker into a coordinator. <cluster> is
// the beginning of the authority's hash, so two authorities are two clusters.
//
// Everything here is crypto/x509 and crypto/tls. Keys are ECDSA on P-256, which all
// TLS stacks know; a certificate request may bring Ed25519 too.
package pki
