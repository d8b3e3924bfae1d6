package checklist_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/genai-exporter/genai-exporter/checklist"
	"github.com/genai-exporter/genai-exporter/internal/skiptest"
)

// The published checklist's alerts keep their names and thresholds here, and
// its metric names are a source; what it measures wrongly does not come along.
func TestDefaultCarriesThePublishedAlerts(t *testing.T) {
	t.Parallel()
	published := publishedAlerts(t)
	c, err := checklist.Default()
	if err != nil {
		t.Fatal(err)
	}
	// Needs kube-state-metrics, which is not a source yet.
	delete(published, "ModelPodRestarting")
	if len(published) < 7 {
		t.Fatalf("found only %d alerts in the document; has its form changed?", len(published))
	}
	// Percent there, ratio here; and two thresholds that the document states in other units.
	thresholds := map[string]float64{
		"GPUMemoryHigh": 0.9, "GPUTemperatureHigh": 80, "GPUUnderutilized": 0.2, "InferenceLatencyHigh": 5,
		"InferenceErrorRateHigh": 0.01, "DailyCostExceeded": 1000, "GPUCostSpike": 100,
	}
	for name, expr := range published {
		i := slices.IndexFunc(c.Checks(), func(ch checklist.Check) bool { return ch.Alert == name })
		if i < 0 {
			t.Errorf("no check has the published alert %s (%s)", name, expr)
			continue
		}
		if got := c.Checks()[i].Levels[0].Threshold; got != thresholds[name] {
			t.Errorf("%s: got threshold %v, want %v of %s", name, got, thresholds[name], expr)
		}
	}
}

func TestSeedSourceHasThePublishedInferenceNames(t *testing.T) {
	t.Parallel()
	c, err := checklist.Default()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range c.Contracts["seed"].Families {
		names = append(names, f.Name)
	}
	found := 0
	for _, expr := range publishedAlerts(t) {
		for _, m := range regexp.MustCompile(`inference_\w+`).FindAllString(expr, -1) {
			found++
			if !slices.Contains(names, strings.TrimSuffix(m, "_bucket")) {
				t.Errorf("%s is used by the published rules and not in the contract of the source seed: %v", m, names)
			}
		}
	}
	if found == 0 {
		t.Error("the document names no inference metric; has its form changed?")
	}
}

// publishedAlerts are the expressions of the document's rules by alert name.
func publishedAlerts(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(skiptest.Fixtures(t), "seeds", "003_*.txt"))
	if err != nil || len(files) != 1 {
		t.Fatalf("want one document seeds/003_*.txt: got %v, %v", files, err)
	}
	text, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	alerts := map[string]string{}
	for _, m := range regexp.MustCompile(`- alert: (\w+)\s+expr: (.*)`).FindAllStringSubmatch(string(text), -1) {
		alerts[m[1]] = m[2]
	}
	return alerts
}
