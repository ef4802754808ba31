//go:build !purego

package kernel

import (
	"slices"
	"testing"

	"github.com/ddpm-cluster/ddpm-cluster/internal/cpulevel"
)

// setLevel runs the rest of a test at a level, and skips it where the CPU lacks
// that level.
func setLevel(t testing.TB, l Level) {
	if !slices.Contains(cpulevel.Available(), l) {
		t.Skipf("this CPU has no %s", l)
	}
	oldAVX2, oldAVX512 := useAVX2, useAVX512
	useAVX2, useAVX512 = l != LevelPortable, l == LevelAVX512
	t.Cleanup(func() { useAVX2, useAVX512 = oldAVX2, oldAVX512 })
}
