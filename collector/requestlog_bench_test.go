package collector

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fastjson"

	"github.com/genai-exporter/genai-exporter/internal/config"
)

// benchLine is a structlog line of 240 bytes.
const benchLine = `{"event":"inference_request","model":"qwen2.5-7b-instruct","input_tokens":812,"output_tokens":96,"latency_ms":1830,"user_id":"u-4242","request_id":"0af7651916cd43dd8448eb211c80319c","level":"info","timestamp":"2026-05-21T02:35:34.123456Z"}`

func benchParser(tb testing.TB) *lineParser {
	tb.Helper()
	cfg, err := config.Load("config.yaml", []byte("request_logs: [{name: a, files: x}]"))
	if err != nil {
		tb.Fatal(err)
	}
	return newLineParser(&cfg.RequestLogs[0])
}

// BenchmarkLine compares ways to take one line apart; "parse" is what is used.
func BenchmarkLine(b *testing.B) {
	line := []byte(benchLine)
	run := func(name string, f func() error) {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(line)))
			b.ReportAllocs()
			for b.Loop() {
				if err := f(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	run("std_map", func() error {
		var m map[string]any
		return json.Unmarshal(line, &m)
	})
	run("std_struct", func() error {
		var m struct {
			Event        string  `json:"event"`
			Model        string  `json:"model"`
			InputTokens  int     `json:"input_tokens"`
			OutputTokens int     `json:"output_tokens"`
			LatencyMS    float64 `json:"latency_ms"`
			Level        string  `json:"level"`
			Timestamp    string  `json:"timestamp"`
		}
		return json.Unmarshal(line, &m)
	})
	var p fastjson.Parser
	run("fastjson_only", func() error {
		_, err := p.ParseBytes(line)
		return err
	})
	lp, rec := benchParser(b), record{}
	run("parse", func() error {
		if got := lp.parse(line, &rec); got != lineOK {
			return fmt.Errorf("got %v", got)
		}
		return nil
	})
}

// BenchmarkRequestLog reads a file of lines with prices, from the file to the
// totals; lines/s is what to compare with other log exporters.
func BenchmarkRequestLog(b *testing.B) {
	const lines = 200_000
	dir := b.TempDir()
	data := bytes.Repeat([]byte(benchLine+"\n"), lines)
	if err := os.WriteFile(filepath.Join(dir, "app.log"), data, 0o644); err != nil {
		b.Fatal(err)
	}
	prices, err := filepath.Abs("../testdata/prices/good-small.yaml")
	if err != nil {
		b.Fatal(err)
	}
	text := "request_logs: [{name: a, files: app.log, start: beginning}]\nprices: {file: " + prices + "}\n"
	cfg, err := config.Load(filepath.Join(dir, "config.yaml"), []byte(text))
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		r, err := NewRequestLog(quiet(), RequestLogOptions{StateDir: b.TempDir(), Config: cfg})
		if err != nil {
			b.Fatal(err)
		}
		for r.turn() {
		}
		if err := r.Close(); err != nil {
			b.Fatal(err)
		}
		if got := r.totals.Groups[0].Results[lineOK]; got != lines {
			b.Fatalf("counted %d lines, want %d", got, lines)
		}
	}
	b.ReportMetric(float64(lines)*float64(b.N)/b.Elapsed().Seconds(), "lines/s")
}

// BenchmarkScrape gathers what 200 models show, the most there can be in one
// namespace without an allow-list.
func BenchmarkScrape(b *testing.B) {
	r, err := NewRequestLog(quiet(), RequestLogOptions{})
	if err != nil {
		b.Fatal(err)
	}
	for i := range maxModels {
		r.totals.seriesOf("", r.totals.admit(fmt.Sprintf("model-%d", i), nil))
	}
	r.publish(r.o.Now())
	set, err := NewSet(quiet(), r, NewCost(r))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		reg := prometheus.NewRegistry()
		reg.MustRegister(set.Bind(b.Context()))
		if _, err := reg.Gather(); err != nil {
			b.Fatal(err)
		}
	}
}
