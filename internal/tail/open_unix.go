//go:build unix

package tail

import "syscall"

// openFlags keep an open from waiting for a writer when a path became a pipe.
const openFlags = syscall.O_NONBLOCK
