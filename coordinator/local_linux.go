package coordinator

import "syscall"

// childAttributes give a local worker a process group of its own, where the
// terminal's Ctrl-C does not reach it, and its end when the thread that started it
// ends: a coordinator that is killed leaves nobody behind.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
