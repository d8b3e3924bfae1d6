package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	dto "github.com/prometheus/client_model/go"

	"github.com/genai-exporter/genai-exporter/collector"
	"github.com/genai-exporter/genai-exporter/internal/skiptest"
)

// replayed is a flag that replays a time line of the repository.
func replayed(t *testing.T, name string) string {
	t.Helper()
	return "--gpu.source=replay:" + filepath.Join(skiptest.Root(t), "testdata", "gpu", name)
}

func TestRunServesThreeFormatsWithTheSameFamilies(t *testing.T) {
	t.Parallel()
	p := start(t, replayed(t, "rtx5080-heats.yaml"), "--node.name=box-1")
	var families []map[string]*dto.MetricFamily
	samples := map[string]int{}
	for _, tc := range []struct{ name, accept, contentType string }{
		{"text", "text/plain", "text/plain; version=0.0.4; charset=utf-8"},
		{"openmetrics", "application/openmetrics-text;version=1.0.0", "application/openmetrics-text; version=1.0.0; charset=utf-8"},
		{"protobuf", "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited", "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"},
	} {
		a := call(t, http.MethodGet, p.url("/metrics"), "Accept", tc.accept)
		if a.status != http.StatusOK || !strings.HasPrefix(a.header.Get("Content-Type"), tc.contentType) {
			t.Fatalf("%s: got %d %q, want 200 %q", tc.name, a.status, a.header.Get("Content-Type"), tc.contentType)
		}
		samples[tc.name] = strings.Count(a.body, "\ngenai_")
		if tc.name == "openmetrics" {
			if !strings.HasSuffix(a.body, "# EOF\n") || !strings.Contains(a.body, "# TYPE genai_gpu_energy_joules counter\n") {
				t.Errorf("not OpenMetrics:\n%s", a.body)
			}
			continue // client_golang writes OpenMetrics and does not read it
		}
		families = append(families, parse(t, a))
	}
	if samples["text"] != samples["openmetrics"] {
		t.Errorf("%d samples as text, %d as OpenMetrics", samples["text"], samples["openmetrics"])
	}
	text, proto := families[0], families[1]
	if len(text) != len(proto) {
		t.Errorf("%d families as text, %d as protobuf", len(text), len(proto))
	}
	for name, f := range text {
		if proto[name] == nil || len(proto[name].Metric) != len(f.Metric) {
			t.Errorf("%s: %d series as text, otherwise as protobuf", name, len(f.Metric))
		}
	}
	if text["go_goroutines"] == nil || text["process_open_fds"] == nil {
		t.Error("no metrics of the process itself")
	}
	if got := label(text["genai_gpu_info"].Metric[0], "node"); got != "box-1" {
		t.Errorf("node = %q, want box-1", got)
	}
	conform(t, text)
}

func parse(t *testing.T, a answer) map[string]*dto.MetricFamily {
	t.Helper()
	d := expfmt.NewDecoder(strings.NewReader(a.body), expfmt.ResponseFormat(a.header))
	all := map[string]*dto.MetricFamily{}
	for {
		f := new(dto.MetricFamily)
		if err := d.Decode(f); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("after %d families: %v", len(all), err)
		}
		all[f.GetName()] = f
	}
	if len(all) == 0 {
		t.Fatalf("nothing parsed of:\n%s", a.body)
	}
	return all
}

func label(m *dto.Metric, name string) string {
	for _, l := range m.Label {
		if l.GetName() == name {
			return l.GetValue()
		}
	}
	return ""
}

// conform holds what was served to collector.Families: type and labels.
func conform(t *testing.T, served map[string]*dto.MetricFamily) {
	t.Helper()
	declared := map[string]collector.Family{}
	for _, f := range collector.Families() {
		declared[f.Name] = f
	}
	for name, f := range served {
		if !strings.HasPrefix(name, "genai_") {
			continue
		}
		want, ok := declared[name]
		if !ok {
			t.Errorf("%s is served and not declared", name)
			continue
		}
		if got := strings.ToLower(f.GetType().String()); got != string(want.Type) {
			t.Errorf("%s is a %s, declared as %s", name, got, want.Type)
		}
		var labels []string
		for _, l := range f.Metric[0].Label {
			labels = append(labels, l.GetName())
		}
		if d := cmp.Diff(slices.Sorted(slices.Values(want.Labels)), slices.Sorted(slices.Values(labels))); d != "" {
			t.Errorf("%s: labels differ (-declared +served):\n%s", name, d)
		}
		if !model.LegacyValidation.IsValidMetricName(name) {
			t.Errorf("%s is not a name that every Prometheus takes", name)
		}
	}
}

func TestExporterMetricsCanBeLeftOut(t *testing.T) {
	t.Parallel()
	p := start(t, "--no-collector.gpu", "--web.disable-exporter-metrics", "--web.telemetry-path=/m")
	a := call(t, http.MethodGet, p.url("/m"))
	if strings.Contains(a.body, "\ngo_") || strings.Contains(a.body, "\nprocess_") || !strings.Contains(a.body, "\ngenai_exporter_build_info{") {
		t.Errorf("got\n%s", a.body)
	}
	if a := call(t, http.MethodGet, p.url("/metrics")); a.status != http.StatusNotFound {
		t.Errorf("/metrics: got %d, want 404", a.status)
	}
}

func TestScrapeServesTheOthersWhenOneCollectorIsStuck(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	stuck := fake{"stuck", func(context.Context, chan<- prometheus.Metric) error { <-release; return nil }}
	quick := fake{"quick", func(_ context.Context, ch chan<- prometheus.Metric) error {
		ch <- prometheus.MustNewConstMetric(prometheus.NewDesc("quick_answer", "42.", nil, nil), prometheus.GaugeValue, 42)
		return nil
	}}
	p := startWith(t, nil, stuck, quick)
	t.Cleanup(func() { close(release) })
	begin := time.Now()
	a := call(t, http.MethodGet, p.url("/metrics"), timeoutHeader, "0.6")
	// 600 ms announced, less the offset of 500 ms, but at least half.
	if took := time.Since(begin); took < 300*time.Millisecond || took > 5*time.Second {
		t.Errorf("took %s, want a little over 300 ms", took)
	}
	for _, want := range []string{
		"\nquick_answer 42\n", `genai_scrape_collector_success{collector="quick"} 1`, `genai_scrape_collector_success{collector="stuck"} 0`,
	} {
		if !strings.Contains(a.body, want) {
			t.Errorf("lacks %q:\n%s", want, a.body)
		}
	}
}

func TestScrapeTimeoutLeavesTheOffset(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		header  string
		offset  time.Duration
		want    time.Duration
		problem bool
	}{
		{"", 500 * time.Millisecond, 9500 * time.Millisecond, false},
		{"10", 500 * time.Millisecond, 9500 * time.Millisecond, false},
		{"2.5", 500 * time.Millisecond, 2 * time.Second, false},
		{"1", 500 * time.Millisecond, 500 * time.Millisecond, false},
		{"0.9", 500 * time.Millisecond, 450 * time.Millisecond, false},
		{"5", 0, 5 * time.Second, false},
		{"5", time.Hour, 2500 * time.Millisecond, false},
		{"3600", 0, time.Hour, false},
		{"3601", 0, time.Hour, false},
		{"1e300", 0, time.Hour, false},
		{"+Inf", 0, time.Hour, false},
		{"0", 0, 10 * time.Second, true},
		{"-1", 0, 10 * time.Second, true},
		{"NaN", 0, 10 * time.Second, true},
		{"ten", 0, 10 * time.Second, true},
	} {
		t.Run(fmt.Sprintf("%q_%s", tc.header, tc.offset), func(t *testing.T) {
			t.Parallel()
			got, err := scrapeTimeout(tc.header, tc.offset)
			if got != tc.want || (err != nil) != tc.problem {
				t.Errorf("got %s, %v; want %s, problem %t", got, err, tc.want, tc.problem)
			}
		})
	}
}

func FuzzScrapeTimeout(f *testing.F) {
	for _, seed := range []string{"", "10", "0.5", "-1", "NaN", "1e400", "0x1p-1074", "ten"} {
		f.Add(seed, int64(500*time.Millisecond))
	}
	f.Fuzz(func(t *testing.T, header string, offset int64) {
		if offset < 0 {
			return // the flag refuses it
		}
		got, _ := scrapeTimeout(header, time.Duration(offset))
		if got < 0 || got > maxTimeout {
			t.Errorf("scrapeTimeout(%q, %d) = %s", header, offset, got)
		}
	})
}

func TestScrapeWarnsOfAMalformedTimeoutAndAnswers(t *testing.T) {
	t.Parallel()
	p := startWith(t, nil, silent("quiet"))
	a := call(t, http.MethodGet, p.url("/metrics"), timeoutHeader, "soon")
	if a.status != http.StatusOK || !strings.Contains(a.body, `genai_scrape_collector_success{collector="quiet"} 1`) {
		t.Errorf("got %d\n%s", a.status, a.body)
	}
	if !strings.Contains(p.log.String(), `\"soon\" is not a positive number of seconds`) {
		t.Errorf("log lacks the header:\n%s", p.log)
	}
}

func TestScrapesBeyondTheLimitGet503(t *testing.T) {
	t.Parallel()
	var entered atomic.Int32
	release := make(chan struct{})
	slow := fake{"slow", func(context.Context, chan<- prometheus.Metric) error {
		entered.Add(1)
		<-release
		return nil
	}}
	p := startWith(t, []string{"--web.max-requests=1"}, slow)
	until(t, "the first round entered the collector", func() bool { return entered.Load() == 1 })
	statuses := make(chan int, 3)
	for range 3 {
		go func() { statuses <- call(t, http.MethodGet, p.url("/metrics")).status }()
	}
	// Whichever came first waits for its turn; the others are sent away at once.
	for range 2 {
		if got := <-statuses; got != http.StatusServiceUnavailable {
			t.Errorf("beyond the limit: got %d, want 503", got)
		}
	}
	close(release)
	if got := <-statuses; got != http.StatusOK {
		t.Errorf("within the limit: got %d, want 200", got)
	}
}

func TestConcurrentScrapesBothSucceed(t *testing.T) {
	t.Parallel()
	p := start(t, replayed(t, "rtx5080-heats.yaml"))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			a := call(t, http.MethodGet, p.url("/metrics"))
			if !strings.Contains(a.body, `genai_scrape_collector_success{collector="gpu"} 1`) {
				t.Errorf("got %d\n%s", a.status, a.body)
			}
		})
	}
	wg.Wait()
}
