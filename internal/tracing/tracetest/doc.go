// Package tracetest is a collector of traces for tests: an OTLP server over gRPC that
// keeps what it is sent.
package tracetest
