package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/genai-exporter/genai-exporter/internal/config"
)

const (
	goodConfig = "models:\n  allow: [qwen2.5-7b]\n"
	badConfig  = "models:\n  alow: [qwen2.5-7b]\n"
)

func gauge(t *testing.T, p *process, name string) float64 {
	t.Helper()
	f := parse(t, call(t, http.MethodGet, p.url("/metrics"), "Accept", "text/plain"))[name]
	if f == nil {
		t.Fatalf("no %s", name)
	}
	return f.Metric[0].GetGauge().GetValue()
}

func TestReloadKeepsTheOldConfigurationWhenTheNewIsInvalid(t *testing.T) {
	t.Parallel()
	file := write(t, filepath.Join(t.TempDir(), "genai.yml"), goodConfig)
	p := start(t, "--no-collector.gpu", "--web.enable-lifecycle", "--config.file="+file, "--path.state="+t.TempDir())
	if got := gauge(t, p, "genai_exporter_config_last_reload_successful"); got != 1 {
		t.Fatalf("after start: got %v, want 1", got)
	}
	loaded := gauge(t, p, "genai_exporter_config_last_reload_success_timestamp_seconds")

	write(t, file, badConfig)
	a := call(t, http.MethodPost, p.url("/-/reload"))
	if a.status != http.StatusInternalServerError || !strings.Contains(a.body, "genai.yml:2") || !strings.Contains(a.body, "alow") {
		t.Errorf("got %d %s, want 500 with file, line and key", a.status, a.body)
	}
	if got := gauge(t, p, "genai_exporter_config_last_reload_successful"); got != 0 {
		t.Errorf("after a bad file: got %v, want 0", got)
	}
	if got := gauge(t, p, "genai_exporter_config_last_reload_success_timestamp_seconds"); got != loaded {
		t.Errorf("after a bad file the timestamp moved from %v to %v", loaded, got)
	}
	if page := call(t, http.MethodGet, p.url("/")).body; !strings.Contains(page, "The last reload was refused") {
		t.Errorf("the page does not say so:\n%s", page)
	}
	if !strings.Contains(p.log.String(), "configuration not reloaded") {
		t.Errorf("the log does not say so:\n%s", p.log)
	}

	write(t, file, goodConfig)
	if a := call(t, http.MethodPost, p.url("/-/reload")); a.status != http.StatusOK {
		t.Errorf("got %d %s, want 200", a.status, a.body)
	}
	if got := gauge(t, p, "genai_exporter_config_last_reload_successful"); got != 1 {
		t.Errorf("after a good file: got %v, want 1", got)
	}
}

func TestReloadOverHTTPIsOffByDefaultAndWantsPOST(t *testing.T) {
	t.Parallel()
	p := start(t, "--no-collector.gpu")
	if a := call(t, http.MethodPost, p.url("/-/reload")); a.status != http.StatusForbidden || !strings.Contains(a.body, "--web.enable-lifecycle") {
		t.Errorf("got %d %s, want 403 naming the flag", a.status, a.body)
	}
	if a := call(t, http.MethodGet, p.url("/-/reload")); a.status != http.StatusMethodNotAllowed {
		t.Errorf("GET: got %d, want 405", a.status)
	}
}

func TestReloadHappensAtSIGHUP(t *testing.T) {
	t.Parallel()
	opts := &options{configFile: write(t, filepath.Join(t.TempDir(), "genai.yml"), goodConfig)}
	applied := make(chan *config.Config, 1)
	c := newConfiguration(opts, testLogger(t), []func(*config.Config) error{
		func(cfg *config.Config) error { applied <- cfg; return nil },
	})
	hup := make(chan os.Signal, 1)
	go c.reloadOn(t.Context(), hup)
	hup <- os.Interrupt // which signal it is, is the caller's affair
	select {
	case cfg := <-applied:
		if len(cfg.Models.Allow) != 1 {
			t.Errorf("got %+v", cfg)
		}
	case <-time.After(patience):
		t.Fatal("nothing applied")
	}
}

func TestReloadAppliesNothingAfterAnError(t *testing.T) {
	t.Parallel()
	opts := &options{configFile: write(t, filepath.Join(t.TempDir(), "genai.yml"), badConfig)}
	c := newConfiguration(opts, testLogger(t), []func(*config.Config) error{
		func(*config.Config) error { t.Error("applied an invalid file"); return nil },
	})
	if err := c.reload(); err == nil || c.status().err == nil {
		t.Errorf("got %v, status %v", err, c.status().err)
	}
}

// TestReloadFollowsALogThatTheNewFileNames goes from the file to the scrape:
// requests, their cost and the state that the exporter leaves.
func TestReloadFollowsALogThatTheNewFileNames(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	state := filepath.Join(dir, "state")
	file := write(t, filepath.Join(dir, "genai.yml"), goodConfig)
	write(t, filepath.Join(dir, "prices.yml"), `prices:
  - model: qwen2.5-7b
    effective_from: 2026-01-01
    billed: provider
    input: "0.50"
    output: "2.00"
`)
	write(t, filepath.Join(dir, "requests.jsonl"),
		`{"event":"inference_request","model":"qwen2.5-7b","input_tokens":1000000,"output_tokens":500000,"latency_ms":1830,"user_id":"u-42"}`+"\n")
	p := start(t, "--no-collector.gpu", "--web.enable-lifecycle", "--config.file="+file, "--path.state="+state)
	write(t, file, goodConfig+"prices:\n  file: prices.yml\nrequest_logs:\n  - name: gateway\n    files: [requests.jsonl]\n    start: beginning\n")
	if a := call(t, http.MethodPost, p.url("/-/reload")); a.status != http.StatusOK {
		t.Fatalf("got %d %s", a.status, a.body)
	}
	var body string
	until(t, "the request counted", func() bool {
		body = call(t, http.MethodGet, p.url("/metrics")).body
		return strings.Contains(body, `outcome="success",runtime="log",target=""} 1`)
	})
	for _, want := range []string{
		`genai_cost_usd_total{billed="provider",kind="input",model="qwen2.5-7b",namespace="",runtime="log"} 0.5`,
		`genai_cost_usd_total{billed="provider",kind="output",model="qwen2.5-7b",namespace="",runtime="log"} 1`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("lacks %s:\n%s", want, body)
		}
	}
	if strings.Contains(body, "u-42") {
		t.Error("a user became part of the metrics")
	}
	conform(t, parse(t, call(t, http.MethodGet, p.url("/metrics"), "Accept", "text/plain")))
	if err := p.wait(t); err != nil {
		t.Fatal(err)
	}
	again := start(t, "--no-collector.gpu", "--config.file="+file, "--path.state="+state)
	body = call(t, http.MethodGet, again.url("/metrics")).body
	if !strings.Contains(body, `outcome="success",runtime="log",target=""} 1`) {
		t.Errorf("after a restart the request is counted otherwise than once:\n%s", body)
	}
}
