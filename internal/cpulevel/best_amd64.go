//go:build !purego

package cpulevel

import "golang.org/x/sys/cpu"

// best returns the best level of this CPU and build.
func best() Level {
	switch x := cpu.X86; {
	case x.HasAVX2 && x.HasFMA && x.HasAVX512F && x.HasAVX512DQ && x.HasAVX512BW && x.HasAVX512VL:
		return AVX512
	case x.HasAVX2 && x.HasFMA:
		return AVX2
	}
	return Portable
}
