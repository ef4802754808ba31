// Package chart tests the chart beside it by helm's own engine, and decodes what it
// renders by Kubernetes' own types. It is a module of its own, so that neither is a
// dependency of the product; `make chart` runs it.
package chart
