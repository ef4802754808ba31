//go:build unix && !linux

package coordinator

import "syscall"

// childAttributes give a local worker a process group of its own, where the
// terminal's Ctrl-C does not reach it. When the coordinator is killed the worker
// ends by itself, since its session breaks.
func childAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
