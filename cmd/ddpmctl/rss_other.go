//go:build !unix

package main

// peakRSS returns 0: the system does not say.
func peakRSS() int64 { return 0 }

// cpuSeconds returns 0: the system does not say.
func cpuSeconds() float64 { return 0 }
