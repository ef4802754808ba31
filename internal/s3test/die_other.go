//go:build !linux

package s3test

import "os/exec"

// dieWithParent needs a system that can: elsewhere only a test that ends stops its
// servers.
func dieWithParent(*exec.Cmd) {}
