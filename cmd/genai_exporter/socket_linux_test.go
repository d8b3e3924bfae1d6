package main

import (
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestProgramServesTheSocketThatSystemdPasses does what systemd does: it opens
// the port, passes it as descriptor 3 and says so in the environment.
func TestProgramServesTheSocketThatSystemdPasses(t *testing.T) {
	t.Parallel()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	socket, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	url := "http://" + l.Addr().String() + "/-/healthy"
	log := &journal{}
	// LISTEN_PID must be the program's own, which only the shell that becomes it knows.
	cmd := exec.CommandContext(t.Context(), "sh", "-c", `LISTEN_PID=$$ LISTEN_FDS=1 exec "$@"`, "sh",
		filepath.Join(built, "genai_exporter"), "--web.systemd-socket", "--no-collector.gpu")
	cmd.ExtraFiles = []*os.File{socket}
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_, _ = l.Close(), socket.Close() // the program has its own now
	until(t, "serving", func() bool { return strings.Contains(log.String(), "TLS is disabled") })
	if a := call(t, http.MethodGet, url); a.status != http.StatusOK {
		t.Errorf("got %d %s", a.status, a.body)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("got %v, want exit 0\n%s", err, log)
	}
}

func TestSystemdSocketWithoutSystemdIsAnError(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), filepath.Join(built, "genai_exporter"), "--web.systemd-socket").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "--web.systemd-socket: systemd passed no socket") {
		t.Errorf("got %v\n%s", err, out)
	}
}
