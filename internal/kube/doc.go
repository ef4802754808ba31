// Package kube makes Secrets through the API server of the Kubernetes that a pod runs
// in. It is a few requests over net/http: the product needs nothing else of Kubernetes,
// and its client library is larger than all the rest of it.
package kube
