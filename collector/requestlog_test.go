package collector

import (
	"bytes"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/common/expfmt"

	"github.com/genai-exporter/genai-exporter/internal/config"
)

// testClock stands still unless a test moves it.
type testClock struct{ t time.Time }

func newTestClock() *testClock {
	return &testClock{time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)}
}

func (c *testClock) now() time.Time { return c.t }

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// newRequestLogFor loads a configuration text and places it beside dir.
func newRequestLogFor(t *testing.T, dir, text string, o RequestLogOptions) *RequestLog {
	t.Helper()
	cfg, err := config.Load(filepath.Join(dir, "config.yaml"), []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	o.Config = cfg
	if o.Now == nil {
		o.Now = newTestClock().now
	}
	r, err := NewRequestLog(quiet(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

// expose renders what the collectors show, scrape metrics left out.
func expose(t *testing.T, cs ...Collector) string {
	t.Helper()
	set, err := NewSet(quiet(), cs...)
	if err != nil {
		t.Fatal(err)
	}
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(set.Bind(t.Context()))
	if problems, err := testutil.GatherAndLint(reg); err != nil || len(problems) > 0 {
		t.Errorf("lint: %v %v", problems, err)
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	for _, f := range families {
		if strings.HasPrefix(f.GetName(), "genai_scrape_") {
			continue
		}
		if _, err := expfmt.MetricFamilyToText(&b, f); err != nil {
			t.Fatal(err)
		}
	}
	return b.String()
}

func TestRequestLogTurnsLinesIntoMetrics(t *testing.T) {
	t.Parallel()
	inputs, err := filepath.Glob("../testdata/requestlog/*.jsonl")
	if err != nil || len(inputs) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, input := range inputs {
		stem := strings.TrimSuffix(input, ".jsonl")
		t.Run(filepath.Base(stem), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(stem + ".yaml")
			if err != nil {
				t.Fatal(err)
			}
			r := newRequestLogFor(t, "../testdata/requestlog", string(text), RequestLogOptions{})
			for r.turn() {
			}
			// The price table's own time depends on the checkout.
			r.live.Load().cfg.Prices.ModTime = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
			got := expose(t, r, NewCost(r))
			if *update {
				if err := os.WriteFile(stem+".metrics", []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(stem + ".metrics")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(got, string(want)); diff != "" {
				t.Errorf("metrics differ (-got +want), -update rewrites them:\n%s", diff)
			}
		})
	}
}
