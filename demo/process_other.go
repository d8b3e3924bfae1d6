//go:build !linux

package main

import "os/exec"

// dieWithParent has no equivalent here; stop ends the children.
func dieWithParent(*exec.Cmd) {}
