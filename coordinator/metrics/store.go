package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/ddpm-cluster/ddpm-cluster/storage"
)

// Store counts what is asked of the Store. It is a storage.Observer and a
// prometheus.Collector.
type Store struct{ requests, errors, retries *prometheus.CounterVec }

// NewStore makes one that has counted nothing.
func NewStore() *Store {
	s := &Store{
		requests: operations("store_requests_total", "Operations that the coordinator began on the Store."),
		errors:   operations("store_errors_total", "Operations on the Store, tries again included, that failed, or broke off while their object was read. That an object is missing, or there already, is no failure."),
		retries:  operations("store_retries_total", "Times that something failed on the Store and was tried again: a request by the S3 client, or a whole operation."),
	}
	return s
}

// operations counts by operation, from 0 of each.
func operations(name, help string) *prometheus.CounterVec {
	v := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, []string{"operation"})
	for _, o := range storage.Operations() {
		v.WithLabelValues(o)
	}
	return v
}

// Requested implements storage.Observer.
func (s *Store) Requested(operation string) { s.requests.WithLabelValues(operation).Inc() }

// Failed implements storage.Observer.
func (s *Store) Failed(operation string) { s.errors.WithLabelValues(operation).Inc() }

// Retried implements storage.Observer.
func (s *Store) Retried(operation string) { s.retries.WithLabelValues(operation).Inc() }

// Describe implements prometheus.Collector.
func (s *Store) Describe(out chan<- *prometheus.Desc) { prometheus.DescribeByCollect(s, out) }

// Collect implements prometheus.Collector.
func (s *Store) Collect(out chan<- prometheus.Metric) {
	for _, v := range []*prometheus.CounterVec{s.requests, s.errors, s.retries} {
		v.Collect(out)
	}
}
