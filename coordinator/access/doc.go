// Package access is who may do what with a coordinator.
//
// One port serves everybody. The Door makes the TLS handshake of each connection:
// who shows a certificate of the cluster is a member, and reaches the coordinator's
// services; who shows none is a stranger, and reaches another server, which knows
// health and Join alone, takes small messages, and keeps nobody for long. So no
// message of a stranger gets near the code that members talk to.
//
//	stranger: Join(token, request) → certificate of a worker
//	worker:   its session, and Renew
//	admin:    all the rest; tokens are one of it
//
// A service that this package does not know of is an administrator's.
package access
