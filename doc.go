// Package ddpmcluster says which build of the project this is: Version for
// people, Fingerprint for workers that must compute the same bits.
package ddpmcluster
