package kernel

import (
	"fmt"
	"os"
	"slices"
)

// LevelVariable is the environment variable that forces a Level.
const LevelVariable = "DDPM_CPU_LEVEL"

// Level names an implementation of the kernels. All levels give the same bits.
type Level string

const (
	// LevelPortable is plain Go, on any architecture.
	LevelPortable Level = "portable"
	// LevelAVX2 is amd64 assembly for CPUs with AVX2 and FMA.
	LevelAVX2 Level = "avx2"
	// LevelAVX512 is LevelAVX2 with AVX-512 (F, DQ, BW, VL) where it is faster.
	LevelAVX512 Level = "avx512"
)

// level is what this process runs, chosen once at start; levelErr says why a
// forced level was not taken.
var level, levelErr = chooseLevel(os.Getenv(LevelVariable), bestLevel())

// ActiveLevel returns the implementation that this process uses.
func ActiveLevel() Level { return level }

// CheckLevel returns an error when DDPM_CPU_LEVEL holds a value that is unknown
// or that this CPU or build does not have. The kernels then run at the best
// level there is; a command should report the error and end.
func CheckLevel() error { return levelErr }

// AvailableLevels returns the levels that this CPU and build have, the best last.
func AvailableLevels() []Level {
	all := levels()
	return all[:slices.Index(all, bestLevel())+1]
}

// levels is every level, the best last.
func levels() []Level { return []Level{LevelPortable, LevelAVX2, LevelAVX512} }

// chooseLevel resolves a forced level ("" for none) against the best one that
// the CPU and the build have.
func chooseLevel(forced string, best Level) (Level, error) {
	if forced == "" {
		return best, nil
	}
	i := slices.Index(levels(), Level(forced))
	switch {
	case i < 0:
		return best, fmt.Errorf("%s=%q is not a known level; set it to one of %v, or unset it", LevelVariable, forced, levels())
	case i > slices.Index(levels(), best):
		return best, fmt.Errorf("%s=%s: this CPU or build has no %s; its best level is %s", LevelVariable, forced, forced, best)
	}
	return Level(forced), nil
}
