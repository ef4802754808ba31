package ddpmcluster

import "runtime/debug"

// version is set by the release build:
// -ldflags "-X github.com/ddpm-cluster/ddpm-cluster.version=v1.2.3".
var version string

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
