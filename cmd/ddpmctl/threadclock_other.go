//go:build !linux && !darwin

package main

// threadSeconds returns 0: the system does not say.
func threadSeconds() float64 { return 0 }
