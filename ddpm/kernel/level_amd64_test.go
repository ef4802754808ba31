//go:build !purego

package kernel

import (
	"slices"
	"testing"
)

// setLevel runs the rest of a test at a level, and skips it where the CPU lacks
// that level.
func setLevel(t testing.TB, l Level) {
	if slices.Index(levels(), l) > slices.Index(levels(), bestLevel()) {
		t.Skipf("this CPU's best level is %s", bestLevel())
	}
	oldAVX2, oldAVX512 := useAVX2, useAVX512
	useAVX2, useAVX512 = l != LevelPortable, l == LevelAVX512
	t.Cleanup(func() { useAVX2, useAVX512 = oldAVX2, oldAVX512 })
}
