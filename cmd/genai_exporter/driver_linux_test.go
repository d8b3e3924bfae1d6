//go:build cgo

package main

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/genai-exporter/genai-exporter/internal/skiptest"
)

// children are the processes that pid started and that have not ended.
func children(t *testing.T, pid int) []int {
	t.Helper()
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		t.Fatal(err)
	}
	var all []int
	for _, task := range tasks {
		b, err := os.ReadFile(task)
		if err != nil {
			continue // the thread has ended
		}
		for _, f := range strings.Fields(string(b)) {
			if child, err := strconv.Atoi(f); err == nil && running(child) {
				all = append(all, child)
			}
		}
	}
	return all
}

// running is false for what has ended, even where nobody has reaped it yet.
func running(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, after, _ := strings.Cut(string(b), ") ")
	return !strings.HasPrefix(after, "Z")
}

// TestProgramServesADriverAndTakesItsWorkerAlong runs the real program with the
// stand-in for the driver's library: from the hidden subcommand to /metrics,
// through the death of a worker, to an end without leftovers.
func TestProgramServesADriverAndTakesItsWorkerAlong(t *testing.T) {
	t.Parallel()
	gcc := skiptest.Installed(t, "gcc", "the stand-in driver library is built with it")
	dir := t.TempDir()
	library := filepath.Join(dir, "libnvidia-ml.so.1")
	source := filepath.Join(skiptest.Root(t), "internal", "nvml", "testdata", "stub", "stub.c")
	if out, err := exec.CommandContext(t.Context(), gcc, "-shared", "-fPIC", "-Wl,-z,lazy", "-o", library, source).CombinedOutput(); err != nil {
		t.Fatalf("gcc: %v\n%s", err, out)
	}
	log := &journal{}
	cmd := exec.CommandContext(t.Context(), filepath.Join(built, "genai_exporter"), "--web.listen-address=127.0.0.1:0",
		"--gpu.source=nvml", "--gpu.library-path="+library, "--gpu.interval=50ms", "--node.name=box-1")
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	listening := regexp.MustCompile(`msg="Listening on" address=(\S+)`)
	until(t, "listening", func() bool { return listening.MatchString(log.String()) })
	url := "http://" + listening.FindStringSubmatch(log.String())[1] + "/metrics"
	scrape := func() string { return call(t, http.MethodGet, url).body }
	until(t, "two GPUs", func() bool { return strings.Count(scrape(), "\ngenai_gpu_temperature_celsius{") == 2 })
	if body := scrape(); !strings.Contains(body, "\ngenai_gpu_driver_up 1\n") || !strings.Contains(body, `node="box-1"`) {
		t.Errorf("got\n%s", body)
	}

	workers := children(t, cmd.Process.Pid)
	if len(workers) != 1 {
		t.Fatalf("workers: %v, want one", workers)
	}
	if err := syscall.Kill(workers[0], syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	sampled := regexp.MustCompile(`\ngenai_gpu_last_sample_timestamp_seconds\{[^}]*\} (\S+)\n`)
	sent := time.Now()
	until(t, "a sample after the worker's SIGHUP", func() bool {
		seconds, err := strconv.ParseFloat(sampled.FindStringSubmatch(scrape())[1], 64)
		if err != nil {
			t.Fatal(err)
		}
		return time.UnixMilli(int64(seconds * 1e3)).After(sent.Add(200 * time.Millisecond))
	})
	if now := children(t, cmd.Process.Pid); !slices.Equal(now, workers) {
		t.Errorf("workers after SIGHUP: %v, before %v", now, workers)
	}
	if err := syscall.Kill(workers[0], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	until(t, "the worker's death counted", func() bool { return strings.Contains(scrape(), "\ngenai_gpu_worker_restarts_total 1\n") })
	until(t, "another worker", func() bool { return len(children(t, cmd.Process.Pid)) == 1 })

	workers = children(t, cmd.Process.Pid)
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("got %v, want exit 0\n%s", err, log)
	}
	for _, w := range workers {
		until(t, "the worker gone", func() bool { return !running(w) })
	}
}
