package main

import (
	"bytes"
	_ "embed"
	"errors"
	"html/template"
	"net/http"
	"time"

	"github.com/prometheus/common/version"

	"github.com/genai-exporter/genai-exporter/collector"
)

//go:embed page.html
var pageSource string

// page is what the landing page shows. Everything in it is escaped by
// html/template: names of collectors are ours, their errors are not.
type page struct {
	Version    string
	Metrics    string
	Ready      bool
	ConfigFile string
	LoadedAt   string
	ReloadErr  string
	Rows       []pageRow
}

type pageRow struct {
	Name, Help, Flag string
	Enabled          bool
	Outcome          string // ok, failed, no data, not asked yet, off
	Detail           string
	Seconds          float64
}

func (e *exporter) servePage(w http.ResponseWriter, r *http.Request) {
	tmpl, err := template.New("page").Parse(pageSource)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	var b bytes.Buffer
	if err := tmpl.Execute(&b, e.page()); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Referrer-Policy", "no-referrer")
	if _, err := b.WriteTo(w); err != nil {
		e.logger.Debug("page not sent", "remote", r.RemoteAddr, "err", err)
	}
}

func (e *exporter) page() page {
	status := e.conf.status()
	p := page{
		Version: version.Info(), Metrics: e.opts.telemetryPath, Ready: e.ready.done.Load(),
		ConfigFile: e.opts.configFile, LoadedAt: status.loadedAt.UTC().Format(time.RFC3339),
	}
	if status.err != nil {
		p.ReloadErr = status.err.Error()
	}
	health := map[string]collector.Health{}
	for _, h := range e.set.Health() {
		health[h.Name] = h
	}
	for _, row := range collectorTable() {
		p.Rows = append(p.Rows, newPageRow(row, health))
	}
	return p
}

func newPageRow(row collectorRow, health map[string]collector.Health) pageRow {
	r := pageRow{Name: row.name, Help: row.help, Flag: "--collector." + row.name, Outcome: "off"}
	h, ok := health[row.name]
	if !ok {
		return r
	}
	r.Enabled, r.Seconds, r.Detail = true, h.Duration.Seconds(), h.State
	switch {
	case h.At.IsZero():
		r.Outcome = "not asked yet"
	case errors.Is(h.Err, collector.ErrNoData):
		r.Outcome = "no data"
	case h.Err != nil:
		r.Outcome, r.Detail = "failed", h.Err.Error()
	default:
		r.Outcome = "ok"
	}
	return r
}
