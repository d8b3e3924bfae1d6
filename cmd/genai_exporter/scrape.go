package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/genai-exporter/genai-exporter/collector"
)

const (
	// timeoutHeader carries the scrape timeout of a Prometheus, in seconds.
	timeoutHeader = "X-Prometheus-Scrape-Timeout-Seconds"
	// defaultTimeout is that of a client that announces none, Prometheus' own default.
	defaultTimeout = 10 * time.Second
	// maxTimeout keeps a client from holding a scrape for longer than any sane interval.
	maxTimeout = time.Hour
	// writeGrace is what a client gets to read the answer after the deadline.
	writeGrace = 30 * time.Second
)

// scrapeHandler answers /metrics: a registry of its own for each scrape, which
// asks the collectors under that scrape's deadline.
type scrapeHandler struct {
	set    *collector.Set
	always prometheus.Gatherer // the process and the exporter themselves
	logger *slog.Logger
	offset time.Duration
	slots  chan struct{} // nil: no limit
}

func (e *exporter) scrapeHandler() (*scrapeHandler, error) {
	always := prometheus.NewRegistry()
	own := []prometheus.Collector{e.conf}
	if !e.opts.disableExporterMetrics {
		own = append(own, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	}
	for _, c := range own {
		if err := always.Register(c); err != nil {
			return nil, fmt.Errorf("metrics of the process: %w", err)
		}
	}
	h := &scrapeHandler{set: e.set, always: always, logger: e.logger, offset: e.opts.timeoutOffset}
	if e.opts.maxRequests > 0 {
		h.slots = make(chan struct{}, e.opts.maxRequests)
	}
	return h, nil
}

func (h *scrapeHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if h.slots != nil {
		select {
		case h.slots <- struct{}{}:
			defer func() { <-h.slots }()
		default:
			http.Error(w, fmt.Sprintf("%d scrapes are in flight, the limit of --web.max-requests; try again later", cap(h.slots)),
				http.StatusServiceUnavailable)
			return
		}
	}
	timeout, err := scrapeTimeout(r.Header.Get(timeoutHeader), h.offset)
	if err != nil {
		h.logger.Warn("scrape timeout ignored", "timeout_seconds", timeout.Seconds(), "err", err)
	}
	ctx, cancel := context.WithTimeout(r.Context(), timeout)
	defer cancel()
	// The server's own write timeout is for pages; a scrape may announce more.
	if err := http.NewResponseController(w).SetWriteDeadline(time.Now().Add(timeout + writeGrace)); err != nil &&
		!errors.Is(err, http.ErrNotSupported) {
		h.logger.Debug("write deadline not set", "err", err)
	}
	registry := prometheus.NewRegistry()
	if err := registry.Register(h.set.Bind(ctx)); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	promhttp.HandlerFor(prometheus.Gatherers{registry, h.always}, promhttp.HandlerOpts{
		ErrorLog:          gatherLog{h.logger},
		ErrorHandling:     promhttp.ContinueOnError,
		EnableOpenMetrics: true,
	}).ServeHTTP(w, r)
}

// scrapeTimeout is what the collectors get of the timeout announced in header,
// in seconds, less offset. An offset of more than half the timeout leaves half
// of it. Together with an error it answers what holds without a header.
func scrapeTimeout(header string, offset time.Duration) (time.Duration, error) {
	announced := defaultTimeout
	var problem error
	if header != "" {
		seconds, err := strconv.ParseFloat(header, 64)
		switch {
		case err != nil || math.IsNaN(seconds) || seconds <= 0:
			problem = fmt.Errorf("header %s: %q is not a positive number of seconds", timeoutHeader, header)
		case seconds > maxTimeout.Seconds():
			announced = maxTimeout
		default:
			announced = time.Duration(seconds * float64(time.Second))
		}
	}
	return max(announced-offset, announced/2), problem
}

// gatherLog turns promhttp's report of a failed gather into one log line.
type gatherLog struct{ logger *slog.Logger }

func (g gatherLog) Println(v ...any) {
	g.logger.Warn("scrape incomplete", "err", strings.Join(strings.Fields(fmt.Sprintln(v...)), " "))
}
