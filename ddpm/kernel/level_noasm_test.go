//go:build !amd64 || purego

package kernel

import "testing"

// setLevel skips the tests of levels that the build does not have.
func setLevel(t testing.TB, l Level) {
	if l != LevelPortable {
		t.Skip("this build has portable code alone")
	}
}
