package cpulevel

import (
	"fmt"
	"os"
	"slices"
)

// Variable is the environment variable that forces a Level.
const Variable = "DDPM_CPU_LEVEL"

// Level names an implementation of the kernels. All levels give the same bits.
type Level string

const (
	// Portable is plain Go, on any architecture.
	Portable Level = "portable"
	// AVX2 is amd64 assembly for CPUs with AVX2 and FMA.
	AVX2 Level = "avx2"
	// AVX512 is AVX2 with AVX-512 (F, DQ, BW, VL) where it is faster.
	AVX512 Level = "avx512"
)

// active is what this process runs, chosen once at start; activeErr says why a
// forced level was not taken.
var active, activeErr = choose(os.Getenv(Variable), best())

// Active returns the level that this process uses.
func Active() Level { return active }

// Check returns an error when DDPM_CPU_LEVEL holds a value that is unknown or that
// this CPU or build does not have. The kernels then run at the best level there
// is; a command should report the error and end.
func Check() error { return activeErr }

// Available returns the levels of this CPU and build, the best last.
func Available() []Level { return levels()[:slices.Index(levels(), best())+1] }

// levels is every level, the best last.
func levels() []Level { return []Level{Portable, AVX2, AVX512} }

// choose resolves a forced level ("" for none) against the best one that the CPU
// and the build have.
func choose(forced string, best Level) (Level, error) {
	if forced == "" {
		return best, nil
	}
	i := slices.Index(levels(), Level(forced))
	switch {
	case i < 0:
		return best, fmt.Errorf("%s=%q is not a known level; set it to one of %v, or unset it", Variable, forced, levels())
	case i > slices.Index(levels(), best):
		return best, fmt.Errorf("%s=%s: this CPU or build has no %s; its best level is %s", Variable, forced, forced, best)
	}
	return Level(forced), nil
}
