//go:build !linux || !cgo || nonvml

package nvml

// openLibrary says why this build has no GPU readings.
func openLibrary(string) (library, error) {
	return nil, &downError{reason: "this program was built without NVML (CGO_ENABLED=0, the nonvml tag or not Linux): build it on Linux with cgo to read GPUs", final: true}
}
