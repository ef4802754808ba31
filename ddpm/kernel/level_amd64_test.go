//go:build !purego

package kernel

import "testing"

// setLevel runs the rest of a test at a level, and skips it where the CPU lacks
// that level.
func setLevel(t testing.TB, l Level) {
	if l == LevelAVX2 && bestLevel() != LevelAVX2 {
		t.Skip("this CPU has no AVX2 with FMA")
	}
	old := useAVX2
	useAVX2 = l == LevelAVX2
	t.Cleanup(func() { useAVX2 = old })
}
