package arch

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/genai-exporter/genai-exporter/collector"
	"github.com/genai-exporter/genai-exporter/internal/skiptest"
)

func TestMetricsPageIsThatOfTheFamilies(t *testing.T) {
	t.Parallel()
	compareOrUpdate(t, "docs/metrics.md", metricsPage(collector.Families()))
}

func TestContractIsThatOfTheFamilies(t *testing.T) {
	t.Parallel()
	compareOrUpdate(t, "checklist/sources/genai_exporter.yaml", contract(collector.Families()))
}

func TestFamiliesKeepTheNamingRules(t *testing.T) {
	t.Parallel()
	for _, problem := range checkFamilies(collector.Families()) {
		t.Error(problem)
	}
}

func TestNamingRulesFailWhenProvoked(t *testing.T) {
	t.Parallel()
	ok := collector.Family{Name: "genai_gpu_power_watts", Type: collector.Gauge, Labels: []string{"uuid"}, Help: "Power.", Bound: "the GPUs", Origin: "NVML"}
	with := func(change func(*collector.Family)) collector.Family {
		f := ok
		change(&f)
		return f
	}
	for _, tc := range []struct {
		name string
		f    collector.Family
		want string
	}{
		{"good", ok, ""},
		{"prefix", with(func(f *collector.Family) { f.Name = "gpu_power_watts" }), "gpu_power_watts: a name begins with genai_ and has lower-case words"},
		{"counter", with(func(f *collector.Family) { f.Type = collector.Counter }), "genai_gpu_power_watts: a counter, and only a counter, ends in _total"},
		{"gauge_total", with(func(f *collector.Family) { f.Name = "genai_gpu_errors_total" }), "genai_gpu_errors_total: a counter, and only a counter, ends in _total"},
		{"unit", with(func(f *collector.Family) { f.Name = "genai_gpu_delay_milliseconds" }), "genai_gpu_delay_milliseconds: milliseconds is not a base unit"},
		{"help", with(func(f *collector.Family) { f.Help = "Power" }), "genai_gpu_power_watts: the help is a sentence that ends in a full stop"},
		{"bound", with(func(f *collector.Family) { f.Bound = "" }), "genai_gpu_power_watts: labels need a bound"},
		{"origin", with(func(f *collector.Family) { f.Origin = "" }), "genai_gpu_power_watts: no origin: say where the fact comes from"},
		{"user", with(func(f *collector.Family) { f.Labels = []string{"user_id"} }), "genai_gpu_power_watts: label user_id must never be one"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if got := strings.Join(checkFamilies([]collector.Family{tc.f}), "\n"); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
	if got := checkFamilies([]collector.Family{ok, ok}); !slices.Equal(got, []string{"genai_gpu_power_watts: declared twice"}) {
		t.Errorf("twice: got %q", got)
	}
}

// compareOrUpdate holds a committed file to what it is made from.
func compareOrUpdate(t *testing.T, name string, want []byte) {
	t.Helper()
	path := filepath.Join(skiptest.Root(t), filepath.FromSlash(name))
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), string(got)); d != "" {
		t.Errorf("%s is not what collector.Families() says (-want +got); `make generate` writes it:\n%s", name, d)
	}
}

// source is the second word of a name: the collector and its file.
func source(name string) string {
	word, _, _ := strings.Cut(strings.TrimPrefix(name, "genai_"), "_")
	return word
}

func metricsPage(families []collector.Family) []byte {
	var b bytes.Buffer
	b.WriteString("<!-- Code generated from collector.Families() by `make generate`. DO NOT EDIT. -->\n\n# Metrics of genai_exporter\n\n" +
		"One table per source: the second word of a name is the collector and its file in `collector/`.\n" +
		"The metrics about the process itself (`go_*`, `process_*`) are those of the Go client library.\n")
	last := ""
	for _, f := range families {
		if s := source(f.Name); s != last {
			fmt.Fprintf(&b, "\n## %s\n\n| name | type | labels | bound of the labels | meaning | origin |\n| --- | --- | --- | --- | --- | --- |\n", s)
			last = s
		}
		labels := ""
		if len(f.Labels) > 0 {
			labels = "`" + strings.Join(f.Labels, "`, `") + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s | %s |\n", f.Name, f.Type, labels, cell(f.Bound), cell(f.Help), cell(f.Origin))
	}
	return b.Bytes()
}

func cell(s string) string { return strings.NewReplacer("|", "\\|", "\n", " ").Replace(s) }

// contract is the list of families that rules and boards may name.
func contract(families []collector.Family) []byte {
	var b bytes.Buffer
	b.WriteString("# Code generated from collector.Families() by `make generate`. DO NOT EDIT.\n" +
		"source: genai_exporter\ntitle: genai_exporter\nfamilies:\n")
	for _, f := range families {
		bounds := ""
		if len(f.Buckets) > 0 {
			bounds = ", buckets: " + strings.ReplaceAll(fmt.Sprint(f.Buckets), " ", ", ")
		}
		fmt.Fprintf(&b, "  - {name: %s, type: %s, labels: [%s]%s}\n", f.Name, f.Type, strings.Join(f.Labels, ", "), bounds)
	}
	return b.Bytes()
}

// checkFamilies is what breaks the naming rules for metrics.
func checkFamilies(families []collector.Family) []string {
	var found []string
	seen := map[string]bool{}
	for _, f := range families {
		report := func(format string, a ...any) { found = append(found, f.Name+": "+fmt.Sprintf(format, a...)) }
		if seen[f.Name] {
			report("declared twice")
		}
		seen[f.Name] = true
		if !strings.HasPrefix(f.Name, "genai_") || strings.ToLower(f.Name) != f.Name || strings.Contains(f.Name, ":") {
			report("a name begins with genai_ and has lower-case words")
		}
		if (f.Type == collector.Counter) != strings.HasSuffix(f.Name, "_total") {
			report("a counter, and only a counter, ends in _total")
		}
		for _, unit := range []string{"milliseconds", "ms", "mib", "mb", "percent", "mhz", "millijoules", "minutes", "hours"} {
			if slices.Contains(strings.Split(f.Name, "_"), unit) {
				report("%s is not a base unit", unit)
			}
		}
		if !strings.HasSuffix(f.Help, ".") {
			report("the help is a sentence that ends in a full stop")
		}
		if len(f.Labels) > 0 && f.Bound == "" {
			report("labels need a bound")
		}
		if f.Origin == "" {
			report("no origin: say where the fact comes from")
		}
		for _, label := range f.Labels {
			if slices.Contains([]string{"user", "user_id", "request_id", "prompt", "key", "session", "instance", "job"}, label) {
				report("label %s must never be one", label)
			}
		}
	}
	return found
}
