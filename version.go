package ddpmcluster

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// version and commit are set by the release build:
// -ldflags "-X github.com/ddpm-cluster/ddpm-cluster.version=v1.2.3 -X ….commit=0123abcd".
var version, commit string

// Version is the build's version for people: the release's, or the module's as Go
// recorded it, or "devel".
func Version() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" || info.Main.Version == "(devel)" {
		return "devel"
	}
	return info.Main.Version
}

// Commit is the source's commit as the release build, or Go, recorded it; "" where
// nobody did.
func Commit() string {
	if commit != "" {
		return commit
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value
		}
	}
	return ""
}

// Describe is what --version says: the version, the commit where it is known, what
// the build's bits depend on, and what it is built for.
func Describe() string {
	at := ""
	if c := Commit(); c != "" {
		at = "commit " + c + ", "
	}
	return fmt.Sprintf("%s (%sbuild %s, %s, %s/%s)", Version(), at, Fingerprint(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
