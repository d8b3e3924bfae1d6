package check

import (
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/prometheus/alertmanager/alert"
	"github.com/prometheus/alertmanager/config"
	"github.com/prometheus/alertmanager/dispatch"
	"github.com/prometheus/alertmanager/eventrecorder"
	"github.com/prometheus/alertmanager/featurecontrol"
	"github.com/prometheus/alertmanager/inhibit"
	"github.com/prometheus/alertmanager/provider/mem"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"

	"github.com/genai-exporter/genai-exporter/checklist"
	"github.com/genai-exporter/genai-exporter/internal/skiptest"
)

// allLevels gives every check whose levels can be set all three.
const allLevels = `checks:
  gpu_memory: {info: 80%, critical: 95%}
  gpu_temperature: {info: 75, critical: 90}
  gpu_utilization_low: {warning: 30%, critical: 20%}
  gpu_utilization_high: {info: 70%, critical: 95%}
  gpu_idle: {info: 30%, critical: 5%}
  inference_latency: {info: 2, critical: 10}
  inference_errors: {info: 0.5%, critical: 5%}
  daily_cost: {info: 500, critical: 2000}
  cost_spike: {info: 50, critical: 500}
`

// routing is the rendered configuration as Alertmanager loads it.
func routing(t *testing.T, c *checklist.Checklist) *config.Config {
	t.Helper()
	cfg, err := config.Load(string(rendered(t, c, "en")[routingFile].Data))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// bundleRules are the alerts of a rendered bundle with what they carry.
func bundleRules(t *testing.T, c *checklist.Checklist) *checker {
	t.Helper()
	_, have, err := renderedFiles(c, rendered(t, c, "en"))
	if err != nil {
		t.Fatal(err)
	}
	k := newChecker(c, have)
	k.ruleFiles()
	return k
}

func TestEveryAlertHasItsAudience(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"routes":       allLevels,
		"routes-timed": "routing: {group_wait: 1s, group_interval: 2s, repeat_interval: 1m}",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := load(t, text)
			tree := dispatch.NewRoute(routing(t, c).Route, nil)
			k := bundleRules(t, c)
			var out strings.Builder
			for _, r := range k.plain.rules {
				if r.Alert == "" {
					continue
				}
				routes := tree.Match(k.example(r))
				if len(routes) != 1 {
					t.Errorf("%s: %d routes, want 1", r.Alert, len(routes))
				}
				o := routes[0].RouteOpts
				var by []string
				for l := range o.GroupBy {
					by = append(by, string(l))
				}
				slices.Sort(by)
				fmt.Fprintf(&out, "%s %s %s -> %s, by %s, wait %s, interval %s, repeat %s\n", r.Alert, r.Labels["signal"], r.Labels["severity"],
					o.Receiver, strings.Join(by, " "), o.GroupWait, o.GroupInterval, o.RepeatInterval)
			}
			foreign := tree.Match(model.LabelSet{"alertname": "NodeDown", "severity": "page"})
			fmt.Fprintf(&out, "an alert of somebody else's -> %s\n", foreign[0].RouteOpts.Receiver)
			compare(t, name, out.String())
		})
	}
}

// inhibitor is Alertmanager's own with the rendered rules and one firing alert.
func inhibitor(t *testing.T, cfg *config.Config, firing model.LabelSet) *inhibit.Inhibitor {
	t.Helper()
	logger := slog.New(slog.DiscardHandler)
	alerts, err := mem.NewAlerts(t.Context(), time.Hour, 0, nil, logger, eventrecorder.NopRecorder(), prometheus.NewRegistry(), featurecontrol.NoopFlags{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(alerts.Close)
	now := time.Now()
	if err := alerts.Put(t.Context(), &alert.Alert{
		Alert:     model.Alert{Labels: firing, StartsAt: now.Add(-time.Minute), EndsAt: now.Add(time.Hour)},
		UpdatedAt: now,
	}); err != nil {
		t.Fatal(err)
	}
	ih := inhibit.NewInhibitor(alerts, cfg.InhibitRules, logger, eventrecorder.NopRecorder())
	done := make(chan struct{})
	go func() { ih.Run(); close(done) }()
	ih.WaitForLoading()
	t.Cleanup(func() { ih.Stop(); <-done })
	return ih
}

// TestCriticalMutesOnlyMilderAlertsOfTheSameThing walks every alert that can be
// critical and changes one label at a time.
func TestCriticalMutesOnlyMilderAlertsOfTheSameThing(t *testing.T) {
	t.Parallel()
	c := load(t, allLevels)
	cfg := routing(t, c)
	k := bundleRules(t, c)
	checked := 0
	for _, ch := range c.Checks() {
		if ch.Fixed != nil {
			continue
		}
		i := slices.IndexFunc(k.plain.rules, func(r rule) bool {
			return r.Labels["check"] == ch.ID && r.Labels["severity"] == "critical"
		})
		if i < 0 {
			t.Fatalf("%s has no critical level", ch.ID)
		}
		checked++
		critical := k.example(k.plain.rules[i])
		t.Run(ch.ID, func(t *testing.T) {
			t.Parallel()
			ih := inhibitor(t, cfg, critical)
			mutes := func(want bool, why string, change map[model.LabelName]model.LabelValue) {
				t.Helper()
				target := maps.Clone(critical)
				maps.Copy(target, change)
				maps.DeleteFunc(target, func(_ model.LabelName, v model.LabelValue) bool { return v == "" })
				if got := ih.Mutes(t.Context(), target); got != want {
					t.Errorf("%s: muted is %v, want %v: %v", why, got, want, target)
				}
			}
			mutes(true, "warning of the same thing", map[model.LabelName]model.LabelValue{"severity": "warning"})
			mutes(true, "info of the same thing", map[model.LabelName]model.LabelValue{"severity": "info"})
			mutes(false, "itself", nil)
			mutes(false, "another signal", map[model.LabelName]model.LabelValue{"severity": "warning", "signal": "other"})
			mutes(false, "another cluster", map[model.LabelName]model.LabelValue{"severity": "warning", "cluster": "other"})
			signal, _ := c.Signal(ch.Signal)
			for _, l := range signal.Labels {
				mutes(false, "another "+l, map[model.LabelName]model.LabelValue{"severity": "warning", model.LabelName(l): "other"})
				mutes(false, "no "+l, map[model.LabelName]model.LabelValue{"severity": "warning", model.LabelName(l): ""})
			}
		})
	}
	if checked < 9 {
		t.Errorf("only %d checks can be critical", checked)
	}
}

// TestAlertsWithoutTheirPlaceMuteNothing: a label that both sides lack counts
// as equal to Alertmanager, so a critical alert that lost one must not mute.
func TestAlertsWithoutTheirPlaceMuteNothing(t *testing.T) {
	t.Parallel()
	cfg := routing(t, load(t, allLevels))
	for _, lost := range []model.LabelSet{
		{"category": "gpu", "signal": "gpu_memory", "node": "n1"},
		{"category": "gpu", "signal": "gpu_memory", "gpu": "0"},
		{"category": "inference", "signal": "inference_errors", "model": "m"},
		{"category": "inference", "signal": "inference_errors", "namespace": "n"},
		{"category": "cost", "signal": "gpu_idle"},
		{"category": "cost"},
		{},
	} {
		source, target := maps.Clone(lost), maps.Clone(lost)
		source["severity"], target["severity"] = "critical", "warning"
		if inhibitor(t, cfg, source).Mutes(t.Context(), target) {
			t.Errorf("%v mutes %v", source, target)
		}
	}
}

func TestLostGPUMutesNoOtherGPU(t *testing.T) {
	t.Parallel()
	cfg := routing(t, load(t, ""))
	lost := model.LabelSet{"alertname": "GPULost", "severity": "critical", "category": "gpu", "signal": "gpu_lost", "node": "n1", "gpu": "0"}
	hot := model.LabelSet{"alertname": "GPUTemperatureHigh", "severity": "warning", "category": "gpu", "signal": "gpu_temperature", "node": "n1", "gpu": "1"}
	if inhibitor(t, cfg, lost).Mutes(t.Context(), hot) {
		t.Error("GPU 0 mutes GPU 1")
	}
}

// audiences025 are tools whose secrets Alertmanager 0.25 can read from files.
const audiences025 = `routing:
  alertmanager: "0.25"
  audiences:
    page: [{pagerduty: {routing_key_file: pagerduty_key}}, {slack: {api_url_file: /run/slack_url, channel: "#pages"}}]
    ticket: [{slack: {api_url_file: slack_url, channel: "#tickets"}}]
    cost: [{slack: {api_url_file: slack_url, channel: "#cost"}}]
    dead_man: [{webhook: {url: "http://127.0.0.1:9099/alive"}}]
`

func TestRoutingLoadsInAlertmanager025(t *testing.T) {
	t.Parallel()
	amtool := skiptest.Installed(t, "amtool", "apt-get install prometheus-alertmanager installs 0.25 on Debian 12")
	checkConfig(t, amtool, load(t, audiences025))
}

func TestRoutingLoadsInThePinnedAmtool(t *testing.T) {
	t.Parallel()
	amtool := skiptest.Binary(t, "amtool", "make deps builds it")
	for _, text := range []string{"", allLevels, audiences025} {
		checkConfig(t, amtool, load(t, text))
	}
}

func checkConfig(t *testing.T, amtool string, c *checklist.Checklist) {
	t.Helper()
	for _, lang := range checklist.Languages() {
		dir := writeFolder(t, rendered(t, c, lang))
		out, err := exec.CommandContext(t.Context(), amtool, "check-config", filepath.Join(dir, filepath.FromSlash(routingFile))).CombinedOutput()
		if err != nil || !strings.Contains(string(out), "1 templates") {
			t.Errorf("%v\n%s", err, out)
		}
	}
}

func writeFolder(t *testing.T, folder fstest.MapFS) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, fs.FS(folder)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestRulesLoadInPrometheus242 uses Debian 12's promtool, the oldest that must
// take the rules, with every level there can be.
func TestRulesLoadInPrometheus242(t *testing.T) {
	t.Parallel()
	promtool := skiptest.Installed(t, "promtool", "apt-get install prometheus installs 2.42 on Debian 12")
	for _, lang := range checklist.Languages() {
		rules, err := filepath.Glob(filepath.Join(writeFolder(t, rendered(t, load(t, allLevels), lang)), "rules", "*.yml"))
		if err != nil || len(rules) == 0 {
			t.Fatalf("no rules: %v", err)
		}
		if out, err := exec.CommandContext(t.Context(), promtool, append([]string{"check", "rules"}, rules...)...).CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	}
}
