// Package metrics shows a run to Prometheus. What is so now (step, loss, workers) is
// taken from the status whenever Prometheus asks; what happens (steps with their
// times, checkpoints, requests to the Store) is counted as it does; the sampling pool
// counts for itself. Names and units follow Prometheus'
// conventions: docs/operations.md lists them.
//
// It is prometheus/client_golang, so that formats, histograms and the numbers of the
// Go runtime are theirs.
package metrics
