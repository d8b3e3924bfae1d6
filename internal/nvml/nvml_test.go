package nvml

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"
)

// workerVariable turns the test binary into a worker of the library it names.
const workerVariable = "GENAI_TEST_NVML_LIBRARY"

// workerInterval is the worker's interval in those tests.
const workerInterval = 20 * time.Millisecond

// stubs are the stand-in libraries built so far.
var stubs struct {
	mu  sync.Mutex
	dir string
}

func TestMain(m *testing.M) {
	if path, asked := os.LookupEnv(workerVariable); asked {
		o := WorkerOptions{LibraryPath: path, Interval: workerInterval}
		if err := ServeWorker(context.Background(), os.Stdout, o); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	code := m.Run()
	if stubs.dir != "" {
		os.RemoveAll(stubs.dir)
	}
	os.Exit(code)
}

// logBuffer is a log that is read while it is written.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// state is the state of a GPU in a snapshot, empty if it is not there.
func state(s Snapshot, uuid string) State {
	for _, g := range s.GPUs {
		if g.UUID == uuid {
			return g.State
		}
	}
	return ""
}
