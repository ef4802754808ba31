//go:build !amd64 || purego

package allreduce

import (
	"testing"

	"github.com/ddpm-cluster/ddpm-cluster/internal/cpulevel"
)

// setLevel skips the tests of levels that the build does not have.
func setLevel(t testing.TB, l cpulevel.Level) {
	if l != cpulevel.Portable {
		t.Skip("this build has portable code alone")
	}
}
