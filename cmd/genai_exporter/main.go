// Command genai_exporter serves the metrics of one GenAI node: its GPUs and its
// request logs, on /metrics of port 19400.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/prometheus/common/promslog"
	"github.com/prometheus/common/version"

	"github.com/genai-exporter/genai-exporter/collector"
)

// The exit codes, as in every command of the project.
const (
	exitOK      = 0
	exitFailure = 1
	exitMisuse  = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], streams{out: os.Stdout, err: os.Stderr}, nil)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "genai_exporter: error: %v\n", err)
	}
	os.Exit(exitCode(err))
}

// streams are the two outputs of the command: answers and everything else.
type streams struct{ out, err io.Writer }

// misuse is an error in how the command was called: it exits with 2.
type misuse struct{ error }

func (m misuse) Unwrap() error { return m.error }

func exitCode(err error) int {
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, new(misuse)):
		return exitMisuse
	}
	return exitFailure
}

// run is the whole command until ctx ends. onListen, where it is not nil, gets
// the address of each listener once it accepts connections.
func run(ctx context.Context, args []string, std streams, onListen func(net.Addr)) error {
	if len(args) > 0 && args[0] == workerCommand {
		return runWorker(ctx, args[1:], std)
	}
	opts, done, err := parseFlags(args, std)
	if done || err != nil {
		return err
	}
	if opts.configCheck {
		return checkConfig(opts, std.out)
	}
	opts.log.Writer = std.err
	logger := promslog.New(opts.log)
	logger.Info("starting genai_exporter", "version", version.Info(), "build_context", version.BuildContext())
	// Listening first: a port in use is said before any state is touched.
	listeners, err := listen(ctx, opts.web)
	if err != nil {
		return err
	}
	defer closeAll(listeners)
	e, err := newExporter(opts, logger)
	if err != nil {
		return err
	}
	return e.run(ctx, listeners, onListen)
}

// exporter is the wired process: the collectors, the configuration in force
// and the server in front of them.
type exporter struct {
	opts   *options
	logger *slog.Logger
	conf   *configuration
	set    *collector.Set
	ready  readiness
}

func newExporter(opts *options, logger *slog.Logger) (*exporter, error) {
	w, err := newWiring(opts, logger)
	if err != nil {
		return nil, err
	}
	set, err := w.build()
	if err != nil {
		return nil, err
	}
	return &exporter{opts: opts, logger: logger, conf: newConfiguration(opts, logger, w.reloaders), set: set}, nil
}

// run serves until ctx ends or a listener breaks. Scrapes in flight finish
// before the collectors stop, so the last answer is a whole one.
func (e *exporter) run(ctx context.Context, listeners []net.Listener, onListen func(net.Addr)) error {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)

	runners, stopRunners := context.WithCancel(context.WithoutCancel(ctx))
	defer stopRunners()
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := e.set.Run(runners); err != nil {
			e.logger.Error("collectors stopped", "err", err)
		}
	})
	wg.Go(func() { e.firstRound(runners) })
	wg.Go(func() { e.conf.reloadOn(runners, hup) })

	err := e.serve(ctx, listeners, onListen)
	stopRunners()
	wg.Wait()
	if err == nil {
		e.logger.Info("stopped")
	}
	return err
}
