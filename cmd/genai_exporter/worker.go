package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"github.com/genai-exporter/genai-exporter/internal/nvml"
)

// workerCommand is the hidden subcommand under which the exporter starts
// itself to hold the driver's library.
const workerCommand = "nvml-worker"

// runWorker serves readings on standard output until ctx ends or the driver
// fails it.
func runWorker(ctx context.Context, args []string, std streams) error {
	var library string
	var interval time.Duration
	done := false
	app := kingpin.New("genai_exporter "+workerCommand, "Reads the GPUs for the exporter that started it; not for use by hand.")
	app.UsageWriter(std.err).ErrorWriter(std.err).Terminate(func(int) { done = true })
	app.Flag("gpu.library-path", "As in the exporter.").StringVar(&library)
	app.Flag("gpu.interval", "As in the exporter.").Default("1s").SetValue(duration("gpu.interval", &interval))
	if _, err := app.Parse(args); err != nil && !done {
		return misuse{fmt.Errorf("%s: %w", workerCommand, err)}
	}
	if done {
		return nil
	}
	// A SIGHUP to every process of this name, as of pkill, means the exporter:
	// a worker has nothing to reload and must not end of it.
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	return nvml.ServeWorker(ctx, std.out, nvml.WorkerOptions{LibraryPath: library, Interval: interval})
}

// workerArgs are the arguments that runWorker reads back.
func workerArgs(o gpuOptions) []string {
	args := []string{workerCommand, "--gpu.interval=" + o.interval.String()}
	if o.libraryPath != "" {
		args = append(args, "--gpu.library-path="+o.libraryPath)
	}
	return args
}
