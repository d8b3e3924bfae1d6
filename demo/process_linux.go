package main

import (
	"os/exec"
	"runtime"
	"syscall"
)

// dieWithParent has the kernel end the child when the thread that started it
// ends, so the starting goroutine keeps its thread.
func dieWithParent(cmd *exec.Cmd) {
	runtime.LockOSThread()
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
}
