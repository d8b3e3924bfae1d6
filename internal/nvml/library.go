package nvml

import (
	"errors"
	"fmt"
)

// library is an open driver library. Each call may block for ever.
type library interface {
	version() string
	devices() (int, error)
	// device asks the GPU at index who it is.
	device(index int) (device, Identity, error)
}

// device is one GPU of an open library.
type device interface {
	// read asks everything once. The state is OK when at least one question
	// was answered; err then is nil, and else says what the driver said.
	read() (State, map[Field]float64, error)
}

// downError says that the driver cannot be asked at all: the worker ends.
type downError struct {
	reason string
	// final: no other worker of this program can do better.
	final bool
}

func (e *downError) Error() string { return e.reason }

// gpuError is what the driver answered about one GPU.
type gpuError struct {
	call  string
	code  int
	state State
}

func (e *gpuError) Error() string { return fmt.Sprintf("%s: %s", e.call, codeName(e.code)) }

// stateOf is the state of a GPU about which the driver said err.
func stateOf(err error) State {
	var g *gpuError
	if errors.As(err, &g) {
		return g.state
	}
	return Unavailable
}

// codeName is the driver's name of a return code, from a table of our own:
// the library's nvmlErrorString may be missing, and a call to a missing symbol
// ends the process.
func codeName(code int) string {
	names := [...]string{
		0: "success", 1: "uninitialized", 2: "invalid argument", 3: "not supported", 4: "no permission",
		5: "already initialized", 6: "not found", 7: "insufficient size", 8: "insufficient power",
		9: "driver not loaded", 10: "timeout", 11: "interrupt request issue", 12: "library not found",
		13: "function not found", 14: "corrupted inforom", 15: "gpu is lost", 16: "reset required",
		17: "operating system", 18: "driver and library have different versions", 19: "in use",
		20: "out of memory", 21: "no data", 22: "ecc not supported over vgpu", 23: "insufficient resources",
		24: "frequency not supported", 25: "argument version mismatch", 26: "deprecated", 27: "not ready",
		28: "gpu not found", 29: "invalid state", 30: "reset type not supported",
	}
	switch {
	case code >= 0 && code < len(names):
		return fmt.Sprintf("%s (code %d)", names[code], code)
	case code == 999:
		return "unknown error (code 999)"
	}
	return fmt.Sprintf("code %d", code)
}
