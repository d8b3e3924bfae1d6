package main

import (
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/genai-exporter/genai-exporter/collector"
	"github.com/genai-exporter/genai-exporter/internal/config"
	"github.com/genai-exporter/genai-exporter/internal/nvml"
)

// collectorRow is one collector as the command knows it.
type collectorRow struct {
	// name is the flag --collector.<name>, the file and the label value.
	name string
	// on is the default of the flag.
	on    bool
	help  string
	build func(*wiring) (collector.Collector, error)
}

// collectorTable is every collector there is.
func collectorTable() []collectorRow {
	return []collectorRow{
		{"gpu", true, "Use, memory, temperature, power and state of the GPUs.", buildGPU},
		{"requestlog", true, "Requests, errors, durations and tokens, from the request logs of --config.file.", buildRequestLog},
		{"cost", true, "Money for the tokens of the request logs, and the prices of --config.file.", buildCost},
	}
}

// wiring is what constructors are given, and what they give back.
type wiring struct {
	opts   *options
	logger *slog.Logger
	config *config.Config
	// requests is the request log once it is built: cost shows its money.
	requests *collector.RequestLog
	// reloaders apply a configuration that is valid.
	reloaders []func(*config.Config) error
}

func newWiring(opts *options, logger *slog.Logger) (*wiring, error) {
	cfg, err := loadConfig(opts)
	if err != nil {
		return nil, err
	}
	return &wiring{opts: opts, logger: logger, config: cfg}, nil
}

// build makes the collectors that are switched on, in the order of the table.
func (w *wiring) build() (*collector.Set, error) {
	var on []collector.Collector
	for _, row := range collectorTable() {
		if !*w.opts.enabled[row.name] {
			continue
		}
		c, err := row.build(w)
		if err != nil {
			return nil, fmt.Errorf("collector %s: %w", row.name, err)
		}
		on = append(on, c)
	}
	return collector.NewSet(w.logger, on...)
}

// replayPrefix marks a --gpu.source that is a file.
const replayPrefix = "replay:"

// validateGPUSource refuses a source that there is not.
func (o *options) validateGPUSource() error {
	switch file, replay := strings.CutPrefix(o.gpu.source, replayPrefix); {
	case o.gpu.source == "auto" || o.gpu.source == "nvml" || replay && file != "":
		return nil
	}
	return fmt.Errorf("--gpu.source=%s: want auto, nvml or replay:FILE", o.gpu.source)
}

func buildGPU(w *wiring) (collector.Collector, error) {
	source, err := w.gpuSource()
	if err != nil {
		return nil, err
	}
	node, err := w.opts.nodeName()
	if err != nil {
		return nil, err
	}
	return collector.NewGPU(source, node), nil
}

func (w *wiring) gpuSource() (collector.GPUSource, error) {
	if strings.HasPrefix(w.opts.gpu.source, replayPrefix) {
		replay, err := loadReplay(w.opts.gpu.source)
		if err != nil {
			return nil, err
		}
		return replay.Start(time.Now), nil
	}
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("path of this program, to start its worker: %w", err)
	}
	return nvml.NewDriver(w.logger, nvml.DriverOptions{
		Command:  append([]string{self}, workerArgs(w.opts.gpu)...),
		Interval: w.opts.gpu.interval,
		Required: w.opts.gpu.source == "nvml",
	}), nil
}

// loadReplay reads the file of a source that is one.
func loadReplay(source string) (*nvml.Replay, error) {
	file := strings.TrimPrefix(source, replayPrefix)
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("--gpu.source: %w", err)
	}
	defer f.Close()
	return nvml.LoadReplay(file, f)
}

func buildRequestLog(w *wiring) (collector.Collector, error) {
	o := collector.RequestLogOptions{Config: w.config}
	if w.opts.configFile != "" {
		o.StateDir = w.opts.stateDir // without a file there is nothing to remember, and no folder is made
	}
	requests, err := collector.NewRequestLog(w.logger, o)
	if err != nil {
		return nil, fmt.Errorf("--path.state=%s: %w", w.opts.stateDir, err)
	}
	w.requests = requests
	w.reloaders = append(w.reloaders, requests.Reload)
	return requests, nil
}

func buildCost(w *wiring) (collector.Collector, error) {
	return collector.NewCost(w.requests), nil
}
