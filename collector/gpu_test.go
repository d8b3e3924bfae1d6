package collector

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/common/expfmt"

	"github.com/genai-exporter/genai-exporter/internal/nvml"
)

var update = flag.Bool("update", false, "rewrite the expectations in testdata")

// epoch is when every replay of these tests begins.
var epoch = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// gpuReplays are the time lines and the offsets at which they are scraped.
var gpuReplays = map[string][]time.Duration{
	"../demo/gpus.yaml":                       {0, 30 * time.Second, 80 * time.Second, 20*time.Minute + 30*time.Second},
	"../testdata/gpu/rtx5080-heats.yaml":      {0, 10 * time.Second, 25500 * time.Millisecond, 65 * time.Second},
	"../testdata/gpu/h100-lost.yaml":          {39 * time.Second, 40 * time.Second, 69 * time.Second, 70 * time.Second},
	"../testdata/gpu/driver-down.yaml":        {0, 29 * time.Second, 30 * time.Second, 65 * time.Second, 75 * time.Second},
	"../testdata/gpu/t4-stuck-says-less.yaml": {5 * time.Second, 19 * time.Second, 20 * time.Second, 21 * time.Second},
	"../testdata/gpu/no-gpus.json":            {0},
}

func TestGPUReplayBecomesTheseBytes(t *testing.T) {
	t.Parallel()
	for file, offsets := range gpuReplays {
		stem := strings.TrimSuffix(filepath.Base(file), filepath.Ext(file))
		if strings.Contains(file, "/demo/") {
			stem = "demo"
		}
		t.Run(stem, func(t *testing.T) {
			t.Parallel()
			var got bytes.Buffer
			for _, offset := range offsets {
				text, problems := scrapeReplay(t, file, offset)
				for _, p := range problems {
					t.Errorf("at %s: %s: %s", offset, p.Metric, p.Text)
				}
				fmt.Fprintf(&got, "### %s after the start\n%s", offset, text)
			}
			compare(t, filepath.Join("..", "testdata", "gpu", stem+".metrics"), got.Bytes())
		})
	}
}

func TestEveryGPUReplayIsScraped(t *testing.T) {
	t.Parallel()
	var files []string
	for _, ext := range []string{"yaml", "json"} {
		found, err := filepath.Glob("../testdata/gpu/*." + ext)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	for _, f := range files {
		if _, ok := gpuReplays[f]; !ok {
			t.Errorf("%s is in no test", f)
		}
	}
}

type problem struct{ Metric, Text string }

// scrapeReplay is /metrics of one replay at an offset from its start.
func scrapeReplay(t *testing.T, file string, offset time.Duration) (string, []problem) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	replay, err := nvml.LoadReplay(filepath.Base(file), f)
	if err != nil {
		t.Fatal(err)
	}
	now := epoch
	player := replay.Start(func() time.Time { return now })
	now = now.Add(offset)
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(alone{t, NewGPU(player, "node-1")})
	lint, err := testutil.GatherAndLint(reg)
	if err != nil {
		t.Fatal(err)
	}
	var problems []problem
	for _, p := range lint {
		problems = append(problems, problem{p.Metric, p.Text})
	}
	return exposition(t, reg), problems
}

// alone registers one collector without a Set.
type alone struct {
	t *testing.T
	c Collector
}

func (alone) Describe(chan<- *prometheus.Desc) {}

func (a alone) Collect(ch chan<- prometheus.Metric) {
	if err := a.c.Collect(context.Background(), ch); err != nil {
		a.t.Error(err)
	}
}

func exposition(t *testing.T, g prometheus.Gatherer) string {
	t.Helper()
	families, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for _, f := range families {
		if _, err := expfmt.MetricFamilyToText(&out, f); err != nil {
			t.Fatal(err)
		}
	}
	return out.String()
}

// compare checks got against a file, or writes it with -update.
func compare(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v (go test -update writes it)", err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s differs (-want +got; go test -update rewrites it):\n%s", file, diff)
	}
}

// TestGPUEmitsOnlyItsFamilies holds Collect and Families together.
func TestGPUEmitsOnlyItsFamilies(t *testing.T) {
	t.Parallel()
	known := map[string]bool{}
	for _, f := range Families() {
		known[f.Name] = true
	}
	seen := map[string]bool{}
	for file := range gpuReplays {
		text, _ := scrapeReplay(t, file, 5*time.Second)
		for line := range strings.Lines(text) {
			if name, ok := strings.CutPrefix(line, "# TYPE "); ok {
				name, _, _ = strings.Cut(name, " ")
				seen[name] = true
				if !known[name] {
					t.Errorf("%s emits %s, which is not in Families()", file, name)
				}
			}
		}
	}
	for _, f := range gpuFamilies() {
		if !seen[f.Name] {
			t.Errorf("no replay emits %s", f.Name)
		}
	}
}

func TestGPUFieldsCoverTheReading(t *testing.T) {
	t.Parallel()
	var have []nvml.Field
	for _, f := range gpuFields() {
		have = append(have, f.field)
	}
	slices.Sort(have)
	want := nvml.Fields()
	slices.Sort(want)
	if diff := cmp.Diff(want, have); diff != "" {
		t.Errorf("fields without a family (-) or twice (+):\n%s", diff)
	}
}

func TestGPUStateSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		snapshot nvml.Snapshot
		want     string
	}{
		"no-gpus": {nvml.Snapshot{DriverUp: true}, "no GPU"},
		"down":    {nvml.Snapshot{Reason: "no library"}, "driver down: no library; no GPU"},
		"mixed": {nvml.Snapshot{DriverUp: true, GPUs: []nvml.Reading{
			{State: nvml.OK}, {State: nvml.Lost}, {State: nvml.OK},
		}}, "GPUs: 2 ok, 1 lost"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := NewGPU(fixed{tc.snapshot}, "").State(); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

type fixed struct{ s nvml.Snapshot }

func (fixed) Run(context.Context) error { return nil }

func (f fixed) Snapshot() nvml.Snapshot { return f.s }

func BenchmarkGPUScrape(b *testing.B) {
	f, err := os.Open("../demo/gpus.yaml")
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	replay, err := nvml.LoadReplay("gpus.yaml", f)
	if err != nil {
		b.Fatal(err)
	}
	set, err := NewSet(slog.New(slog.DiscardHandler), NewGPU(replay.Start(time.Now), "node-1"))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		reg := prometheus.NewRegistry()
		reg.MustRegister(set.Bind(context.Background()))
		if _, err := reg.Gather(); err != nil {
			b.Fatal(err)
		}
	}
}
