package checklist_test

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/genai-exporter/genai-exporter/checklist"
	"github.com/genai-exporter/genai-exporter/internal/render"
)

var update = flag.Bool("update", false, "write the expected errors in testdata/checklist")

const folder = "../testdata/checklist"

func load(t *testing.T, text string) *checklist.Checklist {
	t.Helper()
	c, err := checklist.Load("test.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func check(t *testing.T, c *checklist.Checklist, id string) checklist.Check {
	t.Helper()
	i := slices.IndexFunc(c.Checks(), func(ch checklist.Check) bool { return ch.ID == id })
	if i < 0 {
		t.Fatalf("no check %s", id)
	}
	return c.Checks()[i]
}

func has(c *checklist.Checklist, id string) bool {
	return slices.ContainsFunc(c.Checks(), func(ch checklist.Check) bool { return ch.ID == id })
}

// TestLoadAcceptsGoodFilesAndRefusesBadOnes compares the whole message of every
// bad file with the file beside it.
func TestLoadAcceptsGoodFilesAndRefusesBadOnes(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob(filepath.Join(folder, "*.yaml"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no files: %v", err)
	}
	for _, path := range paths {
		stem := strings.TrimSuffix(filepath.Base(path), ".yaml")
		t.Run(stem, func(t *testing.T) {
			t.Parallel()
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			c, err := checklist.Load(filepath.Base(path), data)
			if strings.HasPrefix(stem, "good-") {
				if err != nil || c == nil {
					t.Fatalf("got %v", err)
				}
				return
			}
			if err == nil || c != nil {
				t.Fatalf("got no error, or a checklist beside it: %v", err)
			}
			got := err.Error() + "\n"
			if strings.Contains(got, "T0KEN") || strings.Contains(got, "S3CRET") {
				t.Error("the message repeats a secret")
			}
			expected := strings.TrimSuffix(path, ".yaml") + ".error"
			if *update {
				if err := os.WriteFile(expected, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(expected)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(want), got); d != "" {
				t.Errorf("message differs (-want +got), -update writes it:\n%s", d)
			}
		})
	}
}

func TestDefaultHoldsTheOperationsChecklist(t *testing.T) {
	t.Parallel()
	c, err := checklist.Default()
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		id, alert string
		severity  checklist.Severity
		bad       checklist.Direction
		threshold float64
	}{
		{"gpu_memory", "GPUMemoryHigh", checklist.Warning, checklist.Above, 0.9},
		{"gpu_temperature", "GPUTemperatureHigh", checklist.Warning, checklist.Above, 80},
		{"gpu_utilization_low", "GPUBelowTargetBand", checklist.Info, checklist.Below, 0.4},
		{"gpu_utilization_high", "GPUAboveTargetBand", checklist.Warning, checklist.Above, 0.8},
		{"gpu_idle", "GPUUnderutilized", checklist.Warning, checklist.Below, 0.2},
		{"gpu_lost", "GPULost", checklist.Critical, checklist.Above, 0},
		{"inference_latency", "InferenceLatencyHigh", checklist.Warning, checklist.Above, 5},
		{"inference_errors", "InferenceErrorRateHigh", checklist.Warning, checklist.Above, 0.01},
		{"daily_cost", "DailyCostExceeded", checklist.Warning, checklist.Above, 1000},
		{"cost_spike", "GPUCostSpike", checklist.Warning, checklist.Above, 100},
		{"exporter_down", "ExporterDown", checklist.Critical, checklist.Below, 1},
	} {
		ch := check(t, c, tc.id)
		if ch.Alert != tc.alert {
			t.Errorf("%s: alert %s, want %s", tc.id, ch.Alert, tc.alert)
		}
		want := []checklist.Level{{Severity: tc.severity, Bad: tc.bad, Threshold: tc.threshold}}
		if d := cmp.Diff(want, ch.Levels); d != "" {
			t.Errorf("%s: levels (-want +got):\n%s", tc.id, d)
		}
		if (ch.For > 0) == (ch.Window > 0) {
			t.Errorf("%s: for %s and window %s, want exactly one", tc.id, ch.For, ch.Window)
		}
		if ch.KeepFiringFor <= 0 {
			t.Errorf("%s: no keep_firing_for, so it can flap", tc.id)
		}
	}
}

func TestUserFileChangesOnlyWhatItNames(t *testing.T) {
	t.Parallel()
	c := load(t, `
checks:
  gpu_memory: {warning: 85%, critical: 95%}
  gpu_utilization_low: {info: off}
  gpu_idle: {enabled: false}
  inference_latency: {window: 10m}
selectors: {genai_exporter: 'job="x"'}
routing: {repeat_interval: 4h, audiences: {cost: [{slack: {api_url_file: s, channel: "#cost"}}]}}
`)
	def, err := checklist.Default()
	if err != nil {
		t.Fatal(err)
	}
	memory, before := check(t, c, "gpu_memory"), check(t, def, "gpu_memory")
	want := []checklist.Level{{checklist.Warning, checklist.Above, 0.85}, {checklist.Critical, checklist.Above, 0.95}}
	if d := cmp.Diff(want, memory.Levels); d != "" {
		t.Errorf("levels (-want +got):\n%s", d)
	}
	if memory.For != before.For || memory.KeepFiringFor != before.KeepFiringFor {
		t.Errorf("times changed: %s %s", memory.For, memory.KeepFiringFor)
	}
	if has(c, "gpu_utilization_low") || has(c, "gpu_idle") {
		t.Error("a check without levels or switched off is still there")
	}
	if got := check(t, c, "inference_latency"); time.Duration(got.Window) != 10*time.Minute || got.Levels[0].Threshold != 5 {
		t.Errorf("inference_latency: %+v", got)
	}
	if c.Selectors["genai_exporter"] != `job="x"` || c.Selectors["dcgm_exporter"] != def.Selectors["dcgm_exporter"] {
		t.Errorf("selectors: %v", c.Selectors)
	}
	r := c.Routing
	if r.Audiences[checklist.Cost][0].Slack == nil || r.Audiences[checklist.Page][0].Webhook == nil {
		t.Errorf("audiences: %v", r.Audiences)
	}
	if time.Duration(r.RepeatInterval) != 4*time.Hour || r.GroupWait != 0 {
		t.Errorf("timing: %+v", r.Timing)
	}
	if r.SecretPath("s") != "/etc/alertmanager/secrets/s" || r.SecretPath("/run/s") != "/run/s" {
		t.Errorf("secret paths: %s %s", r.SecretPath("s"), r.SecretPath("/run/s"))
	}
}

func TestSectionWithoutSourcesIsLeftOut(t *testing.T) {
	t.Parallel()
	c := load(t, "sources: {inference: [], cost: [], gpu: [dcgm_exporter]}")
	for id, want := range map[string]bool{
		"inference_latency": false, "inference_errors": false, "daily_cost": false, "cost_spike": false,
		"gpu_temperature": true, "gpu_idle": true, "exporter_down": true,
		"gpu_lost": false, // dcgm-exporter does not tell
	} {
		if has(c, id) != want {
			t.Errorf("%s: present is %v, want %v", id, !want, want)
		}
	}
	for _, s := range c.Sections {
		for _, g := range s.Signals {
			for _, a := range g.Arms {
				if a.Source != "" && a.Source != "dcgm_exporter" && s.ID != "meta" {
					t.Errorf("%s still has an arm of %s", g.ID, a.Source)
				}
			}
		}
	}
}

func TestSourcesAreTakenInTheOrderDeclared(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		"sources: {gpu: [genai_exporter, dcgm_exporter]}": {"genai_exporter", "dcgm_exporter"},
		"sources: {gpu: [dcgm_exporter, genai_exporter]}": {"dcgm_exporter", "genai_exporter"},
	} {
		g, ok := load(t, text).Signal("gpu_temperature")
		if !ok {
			t.Fatal("no gpu_temperature")
		}
		var got []string
		for _, a := range g.Arms {
			got = append(got, a.Source)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", text, d)
		}
	}
	if d := cmp.Diff([]string{"seed", "log"}, load(t, "sources: {inference: [seed, genai_exporter]}").Runtimes()); d != "" {
		t.Errorf("runtimes (-want +got):\n%s", d)
	}
}

func FuzzLoad(f *testing.F) {
	paths, err := filepath.Glob(filepath.Join(folder, "*.yaml"))
	if err != nil || len(paths) == 0 {
		f.Fatalf("no files: %v", err)
	}
	for _, path := range append(paths, "checklist.yaml") {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := checklist.Load("fuzz.yaml", data)
		if (c == nil) != (err != nil) {
			t.Fatalf("checklist %v and error %v", c != nil, err)
		}
		if err != nil {
			if err.Error() == "" {
				t.Error("an error without a message")
			}
			return
		}
		// What loads can be rendered, with no parameter left in it.
		files, err := render.All(c, render.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if strings.HasPrefix(file.Path, "rules/") && len(checklist.Holes(string(file.Data))) > 0 {
				t.Errorf("%s holds a parameter", file.Path)
			}
		}
	})
}
