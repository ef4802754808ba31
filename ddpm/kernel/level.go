package kernel

import "github.com/ddpm-cluster/ddpm-cluster/internal/cpulevel"

// Level names an implementation of the kernels. All levels give the same bits.
type Level = cpulevel.Level

// The levels of this package; see cpulevel.
const (
	LevelPortable = cpulevel.Portable
	LevelAVX2     = cpulevel.AVX2
	LevelAVX512   = cpulevel.AVX512
)

// ActiveLevel returns the implementation that this process uses.
func ActiveLevel() Level { return cpulevel.Active() }
