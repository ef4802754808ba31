package s3test

import (
	"os/exec"
	"syscall"
)

// dieWithParent lets a server not outlive a test that is killed.
func dieWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
