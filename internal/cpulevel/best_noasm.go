//go:build !amd64 || purego

package cpulevel

// best returns the best level of this CPU and build.
func best() Level { return Portable }
