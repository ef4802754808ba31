// Package s3test gives tests real S3 servers, each a process of its own on free
// loopback ports with its own folder and credentials, and a proxy that makes the way
// to one slow, broken or closed.
//
// The servers' programs are not part of this module: `make test-deps` builds them
// once into the user's cache. A test that finds none there skips, saying so.
// MinIO's licence is the AGPL: it is run, never linked.
package s3test
