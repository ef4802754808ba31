// Package token is the form of the tokens that let machines into a cluster:
// ID.SECRET, as kubeadm has them. The id is no secret: it names the token in lists
// and logs. The secret is 130 random bits.
package token
