// Package storage keeps objects under readable keys, in a local directory or in
// an S3 bucket, behind one interface.
//
// A key is a slash-separated relative path such as "runs/digits/run.json". An
// object appears whole or not at all: a reader never sees half of one, and a
// writer that dies leaves nothing that List shows. Writes replace what is there,
// except PutIfAbsent, which lets exactly one of several writers win; whatever
// must be published once, by whoever comes first, goes through it.
//
// A key with a segment that begins with ".ddpm-tmp-" is temporary: List hides it,
// and Probe removes what a crash left of them in a directory.
//
// Where a Store is, is said by a URI:
//
//	./ddpm-data                 a directory, relative or absolute; it is made when first written
//	file:///srv/ddpm            the same
//	s3://bucket/prefix?endpoint=minio:9000&insecure=true&region=us-east-1
//
// Credentials for S3 come from the environment (AWS_ACCESS_KEY_ID and
// AWS_SECRET_ACCESS_KEY, or MINIO_ROOT_USER and MINIO_ROOT_PASSWORD, or
// MINIO_ACCESS_KEY and MINIO_SECRET_KEY), from ~/.aws/credentials, or from the
// machine's IAM role, in this order; never from the URI, which is logged.
package storage
