package e2e

import (
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/genai-exporter/genai-exporter/internal/skiptest"
)

// The tests that are rendered beside a user's rules pass for that user's
// checklist too, and not only for the default one.
func TestRenderedRuleTestsPassForOtherChecklists(t *testing.T) {
	t.Parallel()
	promtool := skiptest.Binary(t, "promtool", "run make deps")
	for name, text := range map[string]string{
		"every-severity": `
checks:
  gpu_memory: {info: 70%, warning: 80%, critical: 95%}
  gpu_temperature: {warning: 75, critical: 90, for: 90s, keep_firing_for: 10m}
  gpu_idle: {warning: 20%, critical: 5%, window: 1h}
  gpu_utilization_low: {window: 1h}
  inference_latency: {info: 0.3, warning: 2, critical: 45, min_requests: 10}
  inference_errors: {info: 0.1%, warning: 0.5%, critical: 20%, window: 10m}
  daily_cost: {info: 10, warning: 20, critical: 2000, window: 2h}
  cost_spike: {info: 50, warning: 100, critical: 500}
`,
		"short-times": `
evaluation_interval: 10s
absent_for: 2m
checks:
  gpu_memory: {for: 0s, keep_firing_for: 0s}
  gpu_idle: {window: 2m, keep_firing_for: 0s}
  gpu_utilization_low: {window: 5m}
  gpu_utilization_high: {window: 5m}
  gpu_lost: {for: 25s}
  inference_latency: {window: 1m}
  inference_errors: {window: 2m}
  daily_cost: {window: 1h}
  cost_spike: {window: 10m}
`,
		"other-sources": `
sources:
  gpu: [dcgm_exporter]
  inference: [seed]
  cost: []
checks:
  gpu_idle: {window: 30m}
  gpu_utilization_low: {window: 30m}
`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			renderInto(t, dir, text)
			files, err := filepath.Glob(filepath.Join(dir, "testdata", "rules", "*.yml"))
			if err != nil || len(files) == 0 {
				t.Fatalf("no rule tests were rendered: %v", err)
			}
			out, err := exec.Command(promtool, append([]string{"test", "rules"}, files...)...).CombinedOutput()
			if err != nil {
				t.Errorf("promtool test rules: %v\n%s", err, out)
			}
		})
	}
}
