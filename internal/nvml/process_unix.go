//go:build unix

package nvml

import (
	"os/exec"
	"syscall"
)

// ownGroup keeps Ctrl-C at a terminal from ending the worker before we do.
func ownGroup(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }
