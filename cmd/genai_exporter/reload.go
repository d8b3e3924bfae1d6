package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/version"
	"github.com/prometheus/exporter-toolkit/web"

	"github.com/genai-exporter/genai-exporter/collector"
	"github.com/genai-exporter/genai-exporter/internal/config"
)

// errReloadOff answers a reload over HTTP that was not allowed.
var errReloadOff = errors.New("reload over HTTP is off: start the exporter with --web.enable-lifecycle, or send it SIGHUP")

// loadConfig reads --config.file; without one it is the empty configuration.
func loadConfig(o *options) (*config.Config, error) {
	if o.configFile == "" {
		return &config.Config{}, nil
	}
	data, err := os.ReadFile(o.configFile)
	if err != nil {
		return nil, fmt.Errorf("--config.file: %w", err)
	}
	return config.Load(o.configFile, data)
}

// checkConfig is --config.check: every problem of every file, then the verdict.
func checkConfig(o *options, out io.Writer) error {
	var problems []error
	if _, err := loadConfig(o); err != nil {
		problems = append(problems, err)
	}
	if file := *o.web.WebConfigFile; file != "" {
		if err := web.Validate(file); err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", file, err))
		}
	}
	replay := ""
	if strings.HasPrefix(o.gpu.source, replayPrefix) {
		replay = strings.TrimPrefix(o.gpu.source, replayPrefix)
		if _, err := loadReplay(o.gpu.source); err != nil {
			problems = append(problems, err)
		}
	}
	if len(problems) > 0 {
		return errors.Join(problems...)
	}
	for _, file := range []string{o.configFile, *o.web.WebConfigFile, replay} {
		if file != "" {
			fmt.Fprintf(out, "%s: ok\n", file)
		}
	}
	return nil
}

// configuration is the file in force and how its last reload went.
type configuration struct {
	opts      *options
	logger    *slog.Logger
	reloaders []func(*config.Config) error
	now       func() time.Time

	reloading sync.Mutex // one reload at a time
	mu        sync.Mutex
	last      configStatus
}

// configStatus is when the configuration in force was loaded, and why the last
// reload was refused, if it was.
type configStatus struct {
	loadedAt time.Time
	err      error
}

func newConfiguration(o *options, logger *slog.Logger, reloaders []func(*config.Config) error) *configuration {
	c := &configuration{opts: o, logger: logger, reloaders: reloaders, now: time.Now}
	c.last.loadedAt = c.now()
	return c
}

func (c *configuration) status() configStatus {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last
}

// reload applies the file if it is valid; else everything stays as it was, and
// the error says what is wrong with the file.
func (c *configuration) reload() error {
	c.reloading.Lock()
	defer c.reloading.Unlock()
	cfg, err := loadConfig(c.opts)
	for _, apply := range c.reloaders {
		if err == nil {
			err = apply(cfg)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last.err = err
	if err != nil {
		return err
	}
	c.last.loadedAt = c.now()
	return nil
}

// reloadOn reloads at each signal until ctx ends.
func (c *configuration) reloadOn(ctx context.Context, hup <-chan os.Signal) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hup:
			c.report(c.reload())
		}
	}
}

func (c *configuration) report(err error) {
	if err != nil {
		c.logger.Error("configuration not reloaded", "config_file", c.opts.configFile, "err", err)
		return
	}
	c.logger.Info("configuration reloaded", "config_file", c.opts.configFile)
}

func (c *configuration) serveReload(w http.ResponseWriter, _ *http.Request) {
	if !c.opts.enableLifecycle {
		http.Error(w, errReloadOff.Error(), http.StatusForbidden)
		return
	}
	err := c.reload()
	c.report(err)
	if err != nil {
		http.Error(w, "configuration not reloaded: "+err.Error(), http.StatusInternalServerError)
		return
	}
	fmt.Fprintln(w, "configuration reloaded")
}

// Describe sends nothing; the families are in collector.Families.
func (c *configuration) Describe(chan<- *prometheus.Desc) {}

// Collect sends the exporter's own families.
func (c *configuration) Collect(ch chan<- prometheus.Metric) {
	status := c.status()
	ok := 1.0
	if status.err != nil {
		ok = 0
	}
	ch <- collector.ReloadSuccessful.Sample(ok)
	ch <- collector.ReloadTimestamp.Sample(float64(status.loadedAt.UnixMilli()) / 1000)
	ch <- collector.BuildInfo.Sample(1, version.Branch, runtime.GOARCH, runtime.GOOS, version.GoVersion,
		version.GetRevision(), version.GetTags(), version.Version)
}
