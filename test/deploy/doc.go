// Package deploy runs what deploy/compose.yaml says, without a container engine: the
// same commands with the same flags and environment, as processes on loopback ports.
package deploy
