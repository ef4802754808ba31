//go:build unix

package main

import (
	"runtime"
	"syscall"
)

// peakRSS returns the most memory that this process has had, in bytes, or 0 where
// the system does not say.
func peakRSS() int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	most := int64(u.Maxrss) //nolint:unconvert // an int32 on 32-bit systems
	if runtime.GOOS == "darwin" {
		return most
	}
	return most << 10 // the others count KiB
}

// cpuSeconds returns what this process has taken of the processors, or 0 where the
// system does not say.
func cpuSeconds() float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}
