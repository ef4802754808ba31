//go:build linux || darwin

package main

import "golang.org/x/sys/unix"

// threadSeconds returns what this thread has taken of the processors, to the
// nanosecond, or 0 where the system does not say. A process's own account is no
// substitute for short times: Linux brings the other threads' up to date by ticks.
func threadSeconds() float64 {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		return 0
	}
	return float64(t.Nano()) / 1e9
}
