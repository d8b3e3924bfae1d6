//go:build !linux || !cgo || nonvml

package nvml

import (
	"errors"
	"testing"
)

func TestBuildWithoutNVMLSaysSo(t *testing.T) {
	t.Parallel()
	lib, err := openLibrary("")
	var down *downError
	if lib != nil || !errors.As(err, &down) || !down.final {
		t.Errorf("got %v, %v", lib, err)
	}
}
