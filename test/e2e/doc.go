// Package e2e runs the real commands as processes and holds what they print and
// write against the law: the same digest, whatever the cluster looked like.
package e2e
